// Reads a JSON list of mappings from standard input and writes, one line each, what go-yaml makes of them:
//
//	python3 inputs.py | go run . > golden.json
//
// It is the writer inside sigs.k8s.io/yaml, which would first read the values as YAML and lose some odd characters.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"go.yaml.in/yaml/v2"
)

type example struct {
	Input  json.RawMessage `json:"input"`
	Output string          `json:"output"`
}

func run(in io.Reader, out io.Writer) error {
	var inputs []json.RawMessage
	if err := json.NewDecoder(in).Decode(&inputs); err != nil {
		return err
	}
	buffered := bufio.NewWriter(out)
	encoder := json.NewEncoder(buffered)
	encoder.SetEscapeHTML(false)
	for number, input := range inputs {
		var tree map[string]any
		if err := json.Unmarshal(input, &tree); err != nil {
			return fmt.Errorf("input %d: %w", number, err)
		}
		text, err := yaml.Marshal(tree)
		if err != nil {
			return fmt.Errorf("input %d: %w", number, err)
		}
		if err := encoder.Encode(example{Input: input, Output: string(text)}); err != nil {
			return err
		}
	}
	return buffered.Flush()
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "go_yaml:", err)
		os.Exit(1)
	}
}
