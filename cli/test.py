"""`pyvern test`: tests of policies from kyverno-test.yaml files (cli-format.md 1 to 6)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from cli.errors import InputError, UsageError
from cli.flags import GoCommand, ignored

if TYPE_CHECKING:
    from cli.testfile import TestFile

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of one run."""

    paths: tuple[str, ...]
    git_branch: str = ""
    file_name: str = "kyverno-test.yaml"
    selector: str = ""
    fail_only: bool = False
    require_tests: bool = False
    detailed_results: bool = False
    output_format: str = ""
    registry: bool = False
    colours: bool = False


@click.command(name="test", cls=GoCommand, context_settings={"max_content_width": 120})
@click.argument("paths", nargs=-1)
@click.option("-f", "--file-name", default="kyverno-test.yaml", show_default=True, help="Name of the test files.")
@click.option(
    "-t",
    "--test-case-selector",
    "selector",
    metavar="policy=P,rule=R,resource=N",
    default="",
    help="Only rows that fit; wildcards.",
)
@click.option("--fail-only", is_flag=True, help="Show failures only.")
@click.option("--require-tests", is_flag=True, help="Fail when there are no tests.")
@click.option("--detailed-results", is_flag=True, help="Show messages.")
@click.option("-o", "--output-format", type=click.Choice(["json", "yaml", "markdown", "junit"]), help="Form of the results.")
@click.option("--remove-color", is_flag=True, help="No colours, even on a terminal.")
@click.option("-b", "--git-branch", metavar="BRANCH", default="", help="Branch of git URLs.")
@click.option("--registry", is_flag=True, help="Ask image registries for data of images (context.imageRegistry).")
@ignored("-v", "--v")
def command(paths: tuple[str, ...], remove_color: bool, output_format: str | None, **flags: object) -> None:
    """Run the tests of kyverno-test.yaml files below PATHS."""
    from cli.tables import colours_wanted

    colours = colours_wanted() and not remove_color and not output_format
    sys.exit(run(Options(paths=paths, output_format=output_format or "", colours=colours, **flags)))  # type: ignore[arg-type]


def run(options: Options, say: Callable[[str], None] = print) -> int:
    """Runs the tests of files, folders and git URLs; the exit status. Raises `UsageError`."""
    from cli.remote import checked_out

    with checked_out(options.paths, options.git_branch) as paths:
        return run_local(replace(options, paths=paths), say)


def run_local(options: Options, say: Callable[[str], None]) -> int:
    """Runs all tests below the paths; the exit status.

    A test that cannot be run is named and counts as an error; the others run all the same, where Kyverno stops. Raises
    `UsageError`.
    """
    from cli import testfile, testoutput, testsuite

    if not options.paths:
        raise UsageError("a folder with tests is required")
    select = selecting(options.selector)
    write = testoutput.FORMATS[options.output_format]
    files = list(testfile.find(options.paths, options.file_name))
    if not files:
        say("No test yamls available")
        return int(options.require_tests)
    failures = []
    total = failed = broken = 0
    for test in _tests(files):
        if isinstance(test, InputError):
            broken += 1
            _warn(str(test))
            continue
        say(f"Loading test  ( {test.file} ) ...")
        try:
            lines = testsuite.run(test, say, select, registry=options.registry)
        except InputError as error:
            broken += 1
            _warn(str(error))
            continue
        total += len(lines)
        bad = [line for line in lines if line.result == "Fail"]
        failed += len(bad)
        failures += bad
        shown = bad if options.fail_only else lines
        if shown:
            say("")
            say(write(shown, detailed=options.detailed_results, colours=options.colours))
    say("")
    if options.fail_only:
        say(f"Test Summary: {failed} out of {total} tests failed")
    else:
        say(f"Test Summary: {total - failed} tests passed and {failed} tests failed")
    if failures and options.fail_only and not options.output_format:
        say("\nAggregated Failed Test Cases : ")
        say(write(failures, detailed=options.detailed_results, colours=options.colours))
    if failed:
        _warn(f"{failed} tests failed")
    if broken:
        _warn(f"{broken} test files could not be run")
    return int(failed > 0 or broken > 0)


def _tests(files: Sequence[str]) -> Iterator[TestFile | InputError]:
    """The tests of all files, and the faults of those that cannot be read."""
    from cli import testfile

    for file in files:
        try:
            yield from testfile.load(file)
        except InputError as error:
            yield error


def _warn(reason: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"Error: {reason}\n")


def selecting(selector: str) -> Callable[[Row], Row | None]:
    """`policy=..,rule=..,resource=..` as a choice of rows; a resource also takes the place of the row's resources."""
    if not selector:
        return lambda row: row
    wanted: dict[str, str] = {}
    for part in selector.split(","):
        key, equals, value = part.strip().partition("=")
        if not equals or key not in ("policy", "rule", "resource"):
            raise UsageError(f"a test case selector wants policy=..,rule=..,resource=.., got `{part.strip()}`")
        wanted[key] = value

    def choose(row: Row) -> Row | None:
        from fnmatch import fnmatchcase

        for key in ("policy", "rule"):
            if key in wanted and not fnmatchcase(str(row.get(key) or ""), wanted[key].replace("[", "[[]")):
                return None
        if wanted.get("resource", "*") == "*":
            return row
        return {**row, "resources": [wanted["resource"]]}

    return choose
