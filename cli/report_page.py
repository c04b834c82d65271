"""The findings of policy reports as one self-contained HTML page: no other file, no network, no data in scripts.

Everything is written out as HTML, escaped; the script only hides rows that a search does not want, so that the page says the same
without it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from html import escape

from cli.report_read import RESULTS, Finding
from cli.report_totals import DIMENSIONS, Total, overall, totals, worst_first

MOST = 5000
"""Findings on one page; browsers get slow with more."""

STYLE = """
:root { color-scheme: light dark; --back: #fff; --front: #1b1f24; --soft: #59636e; --line: #d1d9e0; --card: #f6f8fa;
  --fail: #cf222e; --warn: #9a6700; --error: #8250df; --skip: #59636e; --pass: #1a7f37; }
@media (prefers-color-scheme: dark) { :root { --back: #0d1117; --front: #e6edf3; --soft: #9198a1; --line: #3d444d;
  --card: #151b23; --fail: #f85149; --warn: #d29922; --error: #ab7df8; --skip: #9198a1; --pass: #3fb950; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem; max-width: 80rem; background: var(--back); color: var(--front);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .5rem; }
p { margin: .2rem 0; color: var(--soft); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(7rem, 1fr)); gap: .6rem; margin: 1rem 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
.card b { display: block; font-size: 1.6rem; line-height: 1.2; }
.totals { columns: 2 26rem; column-gap: 2rem; } .totals section { break-inside: avoid; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .5rem; vertical-align: top; }
th { font-weight: 600; color: var(--soft); } tr { border-bottom: 1px solid var(--line); }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; } td.zero { color: var(--line); }
td { overflow-wrap: anywhere; }
.fail { color: var(--fail); } .warn { color: var(--warn); } .error { color: var(--error); } .skip { color: var(--skip); }
.pass { color: var(--pass); } .message { color: var(--soft); white-space: pre-wrap; }
.search { position: sticky; top: 0; background: var(--back); padding: .6rem 0; display: flex; flex-wrap: wrap; gap: .5rem; }
input, select { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: .4rem;
  padding: .4rem .6rem; } input { flex: 1 1 12rem; min-width: 0; }
[hidden] { display: none; }
@media (max-width: 40rem) { #findings thead { display: none; } #findings tr { display: block; padding: .5rem 0; }
  #findings td { display: block; padding: .1rem 0; } #findings tr[hidden] { display: none; } }
"""
SCRIPT = """
const rows = [...document.querySelectorAll('#findings tbody tr')], words = document.querySelector('#words'),
  result = document.querySelector('#result'), shown = document.querySelector('#shown');
const texts = rows.map(row => row.textContent.toLowerCase());
function search() {
  const wanted = words.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let count = 0;
  rows.forEach((row, index) => {
    const fits = (!result.value || row.dataset.result === result.value) && wanted.every(word => texts[index].includes(word));
    row.hidden = !fits;
    count += fits;
  });
  shown.textContent = count;
}
words.addEventListener('input', search);
result.addEventListener('change', search);
document.querySelector('.search').hidden = false;
"""


def page(findings: Sequence[Finding], *, title: str, made: datetime.datetime) -> str:
    """The whole page. Totals count all findings; those that pass or are skipped are not listed."""
    listed = worst_first(finding for finding in findings if finding.result in RESULTS[:3])
    more = len(listed) - MOST
    objects = len({(finding.kind, finding.namespace, finding.name) for finding in findings})
    policies = len({finding.policy for finding in findings})
    return "".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
            f"<h1>{escape(title)}</h1>\n",
            f"<p>{objects} objects, {policies} policies; {made:%Y-%m-%d %H:%M} UTC</p>\n",
            _cards(overall(findings)),
            '<div class="totals">\n',
            *(_totals(f"By {dimension}", totals(findings, dimension)) for dimension in DIMENSIONS),
            "</div>\n",
            _list(listed[:MOST]),
            f"<p>{more} more are not shown.</p>\n" if more > 0 else "",
            f"<script>{SCRIPT}</script>\n</body>\n</html>\n",
        )
    )


def _cards(total: Total) -> str:
    cards = (f'<div class="card {name}"><b>{count}</b>{name}</div>' for name, count in zip(RESULTS, total.counts, strict=True))
    return f'<div class="cards">{"".join(cards)}</div>\n'


def _totals(heading: str, found: Iterable[Total]) -> str:
    head = "".join(f'<th class="n">{name}</th>' for name in RESULTS)
    rows = "".join(f"<tr><td>{escape(total.name)}</td>{_numbers(total)}</tr>\n" for total in found)
    return (
        f'<section><h2>{heading}</h2><div class="scroll"><table><thead><tr><th></th>{head}</tr></thead>\n'
        f"<tbody>{rows}</tbody></table></div></section>\n"
    )


def _numbers(total: Total) -> str:
    return "".join(
        f'<td class="n {name if count else "zero"}">{count}</td>' for name, count in zip(RESULTS, total.counts, strict=True)
    )


def _list(findings: Sequence[Finding]) -> str:
    options = "".join(f'<option value="{name}">{name}</option>' for name in RESULTS[:3])
    rows = "".join(_row(finding) for finding in findings)
    return (
        f'<h2>Findings (<span id="shown">{len(findings)}</span>)</h2>\n'
        '<div class="search" hidden><input id="words" type="search" placeholder="policy, object, namespace, message" '
        'aria-label="search"><select id="result" aria-label="result"><option value="">all results</option>'
        f"{options}</select></div>\n"
        '<table id="findings"><thead><tr><th>result</th><th>severity</th><th>object</th><th>policy and rule</th></tr></thead>\n'
        f"<tbody>{rows}</tbody></table>\n"
    )


def _row(finding: Finding) -> str:
    return (
        f'<tr data-result="{finding.result}"><td class="{finding.result}">{finding.result}</td>'
        f"<td>{escape(finding.severity)}</td><td>{escape(finding.kind)} {escape(finding.object)}</td>"
        f"<td>{escape(finding.policy)}/{escape(finding.rule)}"
        f'<div class="message">{escape(finding.message)}</div></td></tr>\n'
    )
