// Reads a JSON list of {document, patch} from standard input and writes, one line each, what kustomize merges them to:
//
//	python3 inputs.py | go run . > golden.json
//
// Elements of a patch go to the front of a list, as Kyverno asks for.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/kustomize/kyaml/yaml/merge2"
)

type example struct {
	Document json.RawMessage `json:"document"`
	Patch    json.RawMessage `json:"patch"`
	Result   json.RawMessage `json:"result,omitempty"`
	Error    string          `json:"error,omitempty"`
}

func merge(ex *example) error {
	document, err := yaml.Parse(string(ex.Document))
	if err != nil {
		return err
	}
	patch, err := yaml.Parse(string(ex.Patch))
	if err != nil {
		return err
	}
	merged, err := merge2.Merge(patch, document, yaml.MergeOptions{ListIncreaseDirection: yaml.MergeOptionsListPrepend})
	if err != nil {
		ex.Error = err.Error()
		return nil
	}
	ex.Result, err = merged.MarshalJSON()
	return err
}

func run(in io.Reader, out io.Writer) error {
	var inputs []example
	if err := json.NewDecoder(in).Decode(&inputs); err != nil {
		return err
	}
	buffered := bufio.NewWriter(out)
	encoder := json.NewEncoder(buffered)
	encoder.SetEscapeHTML(false)
	for number := range inputs {
		if err := merge(&inputs[number]); err != nil {
			return fmt.Errorf("input %d: %w", number, err)
		}
		if err := encoder.Encode(inputs[number]); err != nil {
			return err
		}
	}
	return buffered.Flush()
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
