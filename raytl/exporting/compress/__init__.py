"""Smaller and faster variants of a trained model, each judged before it is kept.

candidate  the methods, and which of them a machine can run
outcome    the measurements of a candidate, and the result of a search, as values
choose     what is rejected, the frontier, and the choice: pure functions of outcomes
variant    a bundle with another graph
search     try the candidates, one after the other, and keep the best; resumable
"""
