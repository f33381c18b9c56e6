"""The report of a sweep: one page that needs no network, pictures, and sentences that the trials support."""
