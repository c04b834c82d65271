"""Write the definitions: ``python -m crds.source``; with ``--check`` only tell which files are out of date (exit status 1)."""

import sys
from pathlib import Path

from crds.source.files import files

FOLDER = Path(__file__).parent.parent


def main(arguments: list[str]) -> int:
    """Write or compare; the folder's own kustomization.yaml is one of the files."""
    stale = [name for name, text in files().items() if not (FOLDER / name).is_file() or (FOLDER / name).read_text() != text]
    unknown = sorted({path.name for path in FOLDER.glob("*.yaml")} - set(files()))
    if "--check" in arguments:
        for name in stale:
            sys.stderr.write(f"crds/{name}: out of date, run `make crds`\n")
        for name in unknown:
            sys.stderr.write(f"crds/{name}: no kind makes this file\n")
        return 1 if stale or unknown else 0
    for name in stale:
        (FOLDER / name).write_text(files()[name])
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
