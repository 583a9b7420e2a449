// Owns the AWS SDK for Go v2 as a program: one call a line in, one answer a line out, JSON, as
// kinesis.cjs has it. Built in GOPATH mode against Debian's sources of the SDK, which are older than
// AWS_ENDPOINT_URL_KINESIS: so the endpoint is its argument.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

type data struct {
	Base64 []byte `json:"base64"`
}

type entry struct {
	Data         data
	PartitionKey string
}

type input struct {
	entry
	StreamName, ShardId, ShardIteratorType, ShardIterator, ConsumerARN string
	Limit                                                              *int32
	Records                                                            []entry
	Count                                                              int
}

type record struct {
	SequenceNumber, PartitionKey *string
	Data                         data
}

var client *kinesis.Client

func main() {
	client = kinesis.New(kinesis.Options{
		Region:           os.Getenv("AWS_REGION"),
		EndpointResolver: kinesis.EndpointResolverFromURL(os.Args[1]),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{
				AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
			}, nil
		}),
	})
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var asked struct {
			Operation string
			Input     input
		}
		answer := map[string]any{}
		if err := json.Unmarshal(line, &asked); err != nil {
			answer["error"] = err.Error()
		} else if output, err := call(asked.Operation, asked.Input); err != nil {
			answer["error"] = err.Error()
		} else {
			answer["output"] = output
		}
		text, _ := json.Marshal(answer)
		fmt.Println(string(text))
	}
}

func call(operation string, in input) (any, error) {
	ctx := context.Background()
	switch operation {
	case "PutRecord":
		return client.PutRecord(ctx, &kinesis.PutRecordInput{
			StreamName: &in.StreamName, Data: in.Data.Base64, PartitionKey: &in.PartitionKey})
	case "PutRecords":
		var entries []types.PutRecordsRequestEntry
		for at := range in.Records {
			entries = append(entries, types.PutRecordsRequestEntry{
				Data: in.Records[at].Data.Base64, PartitionKey: &in.Records[at].PartitionKey})
		}
		return client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: &in.StreamName, Records: entries})
	case "GetShardIterator":
		return client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
			StreamName: &in.StreamName, ShardId: &in.ShardId,
			ShardIteratorType: types.ShardIteratorType(in.ShardIteratorType)})
	case "GetRecords":
		output, err := client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: &in.ShardIterator, Limit: in.Limit})
		if err != nil {
			return nil, err
		}
		return map[string]any{"Records": records(output.Records), "NextShardIterator": output.NextShardIterator,
			"MillisBehindLatest": output.MillisBehindLatest}, nil
	case "SubscribeToShard":
		return subscribe(ctx, in)
	}
	return nil, fmt.Errorf("%s is no operation of this program", operation)
}

// The records of a subscription until there are Count of them.
func subscribe(ctx context.Context, in input) (any, error) {
	output, err := client.SubscribeToShard(ctx, &kinesis.SubscribeToShardInput{
		ConsumerARN: &in.ConsumerARN, ShardId: &in.ShardId,
		StartingPosition: &types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}})
	if err != nil {
		return nil, err
	}
	stream := output.GetStream()
	defer stream.Close()
	read, behind := []record{}, (*int64)(nil)
	for len(read) < in.Count {
		event, open := <-stream.Events()
		if !open {
			return nil, fmt.Errorf("the subscription ended early: %v", stream.Err())
		}
		if told, is := event.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent); is {
			read, behind = append(read, records(told.Value.Records)...), told.Value.MillisBehindLatest
		}
	}
	return map[string]any{"Records": read, "MillisBehindLatest": behind}, nil
}

func records(from []types.Record) []record {
	shown := []record{}
	for _, one := range from {
		shown = append(shown, record{one.SequenceNumber, one.PartitionKey, data{one.Data}})
	}
	return shown
}
