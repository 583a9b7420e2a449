// Publishes order commands, the writing side of CQRS:
//
//	AWS_ENDPOINT_URL_KINESIS=http://127.0.0.1:4590 commands STREAM COUNT
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

type orderItem struct {
	ProductID string `json:"productId"`
	Quantity  int    `json:"quantity"`
}

type orderCommand struct {
	CommandType string      `json:"commandType"`
	OrderID     string      `json:"orderId"`
	UserID      string      `json:"userId"`
	Items       []orderItem `json:"items"`
}

func processCommand(ctx context.Context, client *kinesis.Client, stream string, command orderCommand) (string, error) {
	data, err := json.Marshal(command)
	if err != nil {
		return "", err
	}
	stored, err := client.PutRecord(ctx, &kinesis.PutRecordInput{
		StreamName:   aws.String(stream),
		Data:         data,
		PartitionKey: aws.String(command.OrderID),
	})
	if err != nil {
		return "", fmt.Errorf("publish %s: %w", command.CommandType, err)
	}
	return aws.ToString(stored.SequenceNumber), nil
}

// newClient reads what newer SDKs read by themselves: those before v1.21 of the module
// aws-sdk-go-v2 do not know AWS_ENDPOINT_URL_KINESIS yet.
func newClient() *kinesis.Client {
	return kinesis.New(kinesis.Options{
		Region: os.Getenv("AWS_REGION"),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{
				AccessKeyID:     os.Getenv("AWS_ACCESS_KEY_ID"),
				SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
				SessionToken:    os.Getenv("AWS_SESSION_TOKEN"),
			}, nil
		}),
		EndpointResolver: kinesis.EndpointResolverFromURL(os.Getenv("AWS_ENDPOINT_URL_KINESIS")),
	})
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: commands STREAM COUNT")
		os.Exit(64)
	}
	count, err := strconv.Atoi(os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "COUNT:", err)
		os.Exit(64)
	}
	client := newClient()
	for number := range make([]struct{}, count) {
		command := orderCommand{
			CommandType: "PLACE_ORDER",
			OrderID:     fmt.Sprintf("o-%d", number),
			UserID:      fmt.Sprintf("user-%d", number%5),
			Items:       []orderItem{{ProductID: "p-1", Quantity: 1}},
		}
		sequence, err := processCommand(context.Background(), client, os.Args[1], command)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(sequence)
	}
}
