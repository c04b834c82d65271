module pyvern.local/tests/golden/go_yaml

go 1.24

require go.yaml.in/yaml/v2 v2.4.2
