"""`report.html`: one file that needs nothing else, and the same charts as pictures."""

from __future__ import annotations

import html
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import plotly.io
from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs

from raytl.config.space import Space
from raytl.run.atomic import write_text
from raytl.sanitize import command
from raytl.search.ranking import Ranking
from raytl.search.record import TrialRecord
from raytl.search.report import charts, pictures
from raytl.search.report.findings import findings
from raytl.search.winner import Winner

_STYLE = """
:root{--ink:#1f2328;--soft:#57606a;--line:#d8dee4;--paper:#fff;--card:#f6f8fa;--mark:#0072b2}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
main{max-width:1080px;margin:0 auto;padding:32px 20px 80px}h1{font-size:1.7rem;margin:0 0 4px}
h2{font-size:1.15rem;margin:40px 0 8px}p{max-width:72ch}.soft{color:var(--soft)}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:16px 20px;margin:20px 0}
.big{font-size:1.5rem;font-weight:650;color:var(--mark)}code{font:.9em ui-monospace,monospace;background:var(--paper);
border:1px solid var(--line);border-radius:5px;padding:1px 6px;overflow-wrap:anywhere}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.92rem}
th,td{text-align:left;padding:6px 10px;border-bottom:1px solid var(--line);white-space:nowrap}
th{cursor:pointer;color:var(--soft);font-weight:600}ul{padding-left:20px}
"""
_SORT = """
document.querySelectorAll('th').forEach(th=>th.addEventListener('click',()=>{const t=th.closest('table'),
i=[...th.parentNode.children].indexOf(th),up=th.dataset.up!=='1';th.dataset.up=up?'1':'0';
const key=r=>{const c=r.children[i].dataset.v??r.children[i].textContent;const n=parseFloat(c);return isNaN(n)?c:n};
[...t.tBodies[0].rows].sort((a,b)=>{const x=key(a),y=key(b);return (x>y?1:x<y?-1:0)*(up?1:-1)})
.forEach(r=>t.tBodies[0].append(r))}))
"""


@dataclass(frozen=True)
class Header:
    """What the sweep was about."""

    name: str
    data: str
    model: str
    images: Mapping[str, int]
    classes: int
    stages: int
    metrics: tuple[str, ...]
    seconds: float


def write_report(
    folder: Path,
    header: Header,
    records: Sequence[TrialRecord],
    space: Space,
    importances: Mapping[str, float],
    winner: Winner,
) -> None:
    """Write `report.html` and the pictures beside it into `folder`."""
    metric = header.metrics[0]
    parts = [
        _head(header, records),
        _winner(winner, metric),
        _list("What the sweep found", findings(records, metric, header.stages, importances, _noise(winner.ranking))),
        _chart("History", charts.history(records, metric)),
        _chart("Learning curves", charts.curves(records, metric)),
        _chart("Importance", charts.importance(importances)) if importances else "",
        _chart("One dimension at a time", charts.slices(records, space, metric)),
        _chart("All dimensions together", charts.parallel(records, space, metric)),
        _chart("Score against cost", charts.cost(records, metric)),
        _replicates(winner.ranking),
        _trials(records, space),
    ]
    title = html.escape(f"{header.name}: sweep")
    write_text(
        folder / "report.html",
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style><script>{get_plotlyjs()}</script><main>{''.join(parts)}</main><script>{_SORT}</script>",
    )
    pictures.write(folder, records, space, importances, metric)


def _head(header: Header, records: Sequence[TrialRecord]) -> str:
    states = Counter(record.state for record in records)
    told = ", ".join(f"{count} {state}" for state, count in states.most_common())
    images = ", ".join(f"{count:,} {split}" for split, count in header.images.items())
    return (
        f"<h1>{html.escape(header.name)}</h1><p class=soft>{html.escape(header.model)} on {html.escape(header.data)}: "
        f"{html.escape(images)} images, {header.classes} classes. {len(records)} trials ({told}) in {_duration(header.seconds)}. "
        "The test split was not touched.</p>"
    )


def _winner(winner: Winner, metric: str) -> str:
    values = "".join(
        f"<li>{html.escape(key)}: <b>{html.escape(charts.short(value))}</b></li>"
        for key, value in winner.record.overrides.items()
    )
    refit = "" if winner.refit_score is None else f"; refitted with nothing shared: <b>{winner.refit_score:.4f}</b>"
    soup = winner.soup
    souped = (
        ""
        if soup is None
        else f"<p>The mean of the weights of trials {', '.join(map(str, soup.trials))} scores <b>{soup.score:.4f}</b>: "
        f"<code>{html.escape(soup.folder)}</code></p>"
    )
    return (
        f"<div class=card><div class=big>Trial {winner.record.number}: {html.escape(metric)} {winner.rescored:.4f}</div>"
        f"<p>{html.escape(winner.ranking.reason)}. Its checkpoint, read from disk and scored again: "
        f"<b>{winner.rescored:.4f}</b>{refit}.</p><ul>{values}</ul>{souped}"
        f"<p>Next: <code>{html.escape(command('raytl', 'evaluate', winner.run))}</code> opens the test split, once. "
        f"Train it again: <code>{html.escape(command('raytl', 'train', winner.experiment_file))}</code></p></div>"
    )


def _list(title: str, sentences: Sequence[str]) -> str:
    return f"<h2>{title}</h2><ul>{''.join(f'<li>{html.escape(text)}</li>' for text in sentences)}</ul>"


def _chart(title: str, figure: Figure) -> str:
    inner = plotly.io.to_html(
        figure, include_plotlyjs=False, full_html=False, config={"displayModeBar": False, "responsive": True}
    )
    return f"<h2>{title}</h2>{inner}"


def _replicates(ranking: Ranking) -> str:
    rows = [
        [
            str(standing.candidate.number),
            f"{standing.mean:.4f}",
            "" if standing.low is None else f"{standing.low:.4f} to {standing.high:.4f}",
            ", ".join(f"{score:.4f}" for score in standing.candidate.finite_scores),
            f"{standing.candidate.trainable:,}",
        ]
        for standing in ranking.order
    ]
    head = ["trial", "mean", "95 % interval", "by seed", "parameters that learn"]
    return f"<h2>The best trials with other seeds</h2>{_table(head, rows)}"


def _trials(records: Sequence[TrialRecord], space: Space) -> str:
    keys = [dimension.key for dimension in space.dimensions]
    head = [
        "trial",
        "state",
        "value",
        "epochs",
        *(key.split(".")[-1] for key in keys),
        "seconds",
        "shared",
        "source",
        "reason",
    ]
    rows = [
        [
            str(r.number),
            r.state,
            "" if r.values is None else f"{r.values[0]:.4f}",
            str(r.epochs),
            *(charts.short(r.overrides.get(key, "")) for key in keys),
            f"{r.seconds:.1f}",
            r.features,
            r.source,
            r.reason[:120],
        ]
        for r in records
    ]
    return f"<h2>All trials</h2>{_table(head, rows)}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class=scroll><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def _noise(ranking: Ranking) -> float | None:
    spreads = [statistics.stdev(s.candidate.finite_scores) for s in ranking.order if len(s.candidate.finite_scores) > 1]
    return statistics.fmean(spreads) if spreads else None


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
