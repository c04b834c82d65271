"""The custom resource definitions as composable Python data; ``python -m crds.source`` writes the YAML files of crds/."""
