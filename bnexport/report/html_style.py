"""The style sheet of the HTML report: the reader's own light or dark, on screen and on paper."""

__all__ = ["STYLE"]

STYLE = """
:root { color-scheme: light dark; --ink: #1c2128; --dim: #59636e; --page: #fff; --line: #d1d9e0;
  --good: #116329; --bad: #b3151f; --bar: #54aeff; --rail: #eaeef2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --dim: #9198a1; --page: #0d1117;
  --line: #3d444d; --good: #57d974; --bad: #ff7b72; --bar: #388bfd; --rail: #2a313c; } }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 1.5rem; }
h1, p, li, dd, summary, code { overflow-wrap: anywhere; }
td { overflow-wrap: break-word; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.verdict { font-size: 1.25rem; margin: .5rem 0; }
.good { color: var(--good); }
.bad { color: var(--bad); font-weight: 700; }
.wide { overflow-x: auto; margin: .5rem 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .3rem .7rem .3rem 0;
  border-bottom: 1px solid var(--line); }
th, dt, small { color: var(--dim); font-weight: 400; }
td { min-width: 3rem; }
code { font: .92em ui-monospace, monospace; }
.bar { display: inline-block; width: 7rem; height: .7rem; background: var(--rail);
  border-right: 2px solid var(--ink); vertical-align: middle; }
.bar i { display: block; height: 100%; background: var(--bar); }
.bar i.over { background: var(--bad); }
li small { display: block; }
figure { margin: .5rem 0; }
figure svg { width: 100%; height: auto; max-width: 60rem; font-family: system-ui, sans-serif; }
summary { cursor: pointer; padding: .2rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .5rem 0; }
dt { grid-column: 1; }
dd { grid-column: 2; margin: 0; }
@media print { .bar i { print-color-adjust: exact; } }
"""
