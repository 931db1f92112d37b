// Command task is the function that stands for all three tasks when the suite
// runs on an emulator: it asks the test, over HTTP, what to answer.
//
// TASK_URL is where the test listens for this task. An answer of 200 is the
// task's output, one of 422 the name of the error to fail with, and anything
// else makes the process die in the middle of the call.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"drover/internal/task"
)

func main() { lambda.Start(ask) }

func ask(ctx context.Context, in json.RawMessage) (json.RawMessage, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, os.Getenv("TASK_URL"), bytes.NewReader(in))
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return body, nil
	case http.StatusUnprocessableEntity:
		switch string(body) {
		case "ThrottledError":
			return nil, task.ThrottledError{Message: "scripted"}
		case "InvalidInputError":
			return nil, task.InvalidInputError{Message: "scripted"}
		case "VersionError":
			return nil, task.VersionError{Message: "scripted"}
		}
		return nil, task.InternalError{Message: "scripted"}
	}
	os.Exit(1)
	return nil, nil
}
