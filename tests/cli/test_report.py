"""`pyvern report`: tables, and a page that a real browser shows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import pyvern

BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)


def report(name: str, *rows: dict[str, Any], namespace: str = "blue") -> dict[str, Any]:
    scope = {"apiVersion": "v1", "kind": "Pod", "name": name, "namespace": namespace}
    metadata = {"name": f"uid-{name}", "namespace": namespace}
    return {
        "apiVersion": "wgpolicyk8s.io/v1alpha2",
        "kind": "PolicyReport",
        "metadata": metadata,
        "scope": scope,
        "results": list(rows),
    }


def row(policy: str, result: str, **more: Any) -> dict[str, Any]:
    return {"policy": policy, "rule": "r", "result": result, "source": "kyverno", **more}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """What `kubectl get polr -A -o json` prints."""
    items = [
        report("good", row("teams", "pass"), row("apps", "skip")),
        report("bad", row("teams", "fail", severity="high", category="Teams", message="no <b>team</b>"), namespace="green"),
        report("worse", row("teams", "error", message="boom"), row("apps", "warn", severity="low")),
    ]
    file = tmp_path / "reports.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    return file


def test_results_are_counted_by_policy_and_the_bad_ones_listed(saved: Path) -> None:
    ran = pyvern("report", saved)
    lines = [line.split() for line in ran.out.splitlines()]
    assert ["teams", "1", "0", "1", "0", "1"] in lines
    assert ["apps", "0", "1", "0", "1", "0"] in lines
    assert ["fail", "high", "Pod", "green/bad", "teams/r", "no", "<b>team</b>"] in lines
    assert not any(line[:1] == ["pass"] for line in lines)


def test_messages_do_nothing_to_a_terminal(tmp_path: Path) -> None:
    file = tmp_path / "reports.json"
    file.write_text(json.dumps(report("x", row("teams", "fail", message="one\n\x1b]0;title\x07 [red]two\x1b[2J"))))
    out = pyvern("report", file).out
    assert "one \ufffd]0;title\ufffd [red]two\ufffd[2J" in out
    assert out.replace("\n", "").isprintable()


def test_what_is_shown_can_be_narrowed(saved: Path) -> None:
    assert "green/bad" not in pyvern("report", saved, "-n", "blue").out
    assert "boom" not in pyvern("report", saved, "--policy", "apps").out
    assert "blue/good" in pyvern("report", saved, "--result", "pass").out
    assert pyvern("report", saved, "-n", "nowhere").out == "no results\n"


def test_reports_come_from_standard_input_too(saved: Path) -> None:
    assert "green/bad" in pyvern("report", "-", stdin=saved.read_text()).out


def test_a_missing_file_is_told() -> None:
    ran = pyvern("report", "absent.json")
    assert ran.status == 1
    assert "absent.json" in ran.err


@pytest.mark.parametrize(
    ("place", "fault"),
    [
        ({"results": [1]}, "results[0]: must be a map, got `1`"),
        ({"results": {"a": "b"}}, 'results: must be a list, got `{"a":"b"}`'),
        ({"scope": ["x"]}, 'scope: must be a map, got `["x"]`'),
        ({"results": [row("p", "fail", resources=["x"])]}, 'results[0].resources[0]: must be a map, got `"x"`'),
        (
            {"results": [row("p", "fail", timestamp={"seconds": "noon"})]},
            'results[0].timestamp.seconds: must be an integer, got `"noon"`',
        ),
    ],
)
def test_a_file_that_is_no_report_is_told_with_its_place(tmp_path: Path, place: dict[str, Any], fault: str) -> None:
    file = tmp_path / "broken.json"
    file.write_text(json.dumps({**report("x"), **place}))
    ran = pyvern("report", file)
    assert ran.status == 1
    assert ran.err.startswith(f"Error: {file}:1:")
    assert ran.err.rstrip().endswith(fault)


def test_the_page_needs_nothing_else_and_escapes_what_users_wrote(saved: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert pyvern("report", saved, "--html", page, "--title", "A & B").out.startswith("5 results written to")
    text = page.read_text()
    assert "no &lt;b&gt;team&lt;/b&gt;" in text
    assert "<b>team" not in text
    assert "<title>A &amp; B</title>" in text
    assert not re.search(r"(src|href)=|url\(|https?://", text)


def dom(page: Path, *flags: str) -> str:
    """The document after its scripts ran, as the browser has it."""
    assert BROWSER is not None
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=2000",
        *flags,
        "--dump-dom",
        page.as_uri(),
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.skipif(BROWSER is None, reason="no Chromium: apt-get install chromium")
def test_a_browser_shows_totals_and_searches(saved: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    pyvern("report", saved, "--html", page)
    text = dom(page)
    assert '<div class="card fail"><b>1</b>fail</div>' in text
    assert '<div class="search">' in text  # the script ran: without it the search stays hidden
    assert len(re.findall(r"<tr data-result=", text)) == 3
    typing = "words.value = 'GREEN team'; words.dispatchEvent(new Event('input'));"
    page.write_text(page.read_text().replace("</script>", f"{typing}</script>"))
    searched = dom(page)
    assert '<span id="shown">1</span>' in searched
    assert len(re.findall(r'<tr data-result="\w+" hidden="">', searched)) == 2


@pytest.mark.skipif(BROWSER is None, reason="no Chromium: apt-get install chromium")
def test_the_page_is_as_wide_as_a_phone_and_dark_when_asked(saved: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    pyvern("report", saved, "--html", page)
    probe = (
        "document.title = [document.documentElement.scrollWidth <= innerWidth, "
        "getComputedStyle(document.body).backgroundColor].join(' ');"
    )
    page.write_text(page.read_text().replace("</script>", f"{probe}</script>"))
    assert "<title>true rgb(255, 255, 255)</title>" in dom(page, "--window-size=500,800")
    assert "<title>true rgb(13, 17, 23)</title>" in dom(page, "--blink-settings=preferredColorScheme=0")
