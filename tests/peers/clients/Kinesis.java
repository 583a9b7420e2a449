// Owns the AWS SDK for Java v2 as a program: one call a line in, one answer a line out, JSON, as
// kinesis.cjs has it. Its bodies are CBOR; `sync` is the Apache client (HTTP/1.1), `async` netty with
// HTTP/2, which to http:// is prior knowledge. Where to call is the environment's or a property's
// business, as in any application: this program never says it.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.http.Protocol;
import software.amazon.awssdk.http.apache.ApacheHttpClient;
import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.*;
import software.amazon.awssdk.services.kinesis.model.Record;

public class Kinesis {
    static final ObjectMapper JSON = new ObjectMapper();

    /** Standard output is for answers only: the library's own log would go there. */
    static void beQuiet() {
        ((ch.qos.logback.classic.Logger) org.slf4j.LoggerFactory.getLogger("ROOT")).setLevel(ch.qos.logback.classic.Level.OFF);
    }

    /** The calls that both clients have. */
    interface Calls {
        PutRecordResponse put(PutRecordRequest asked);
        PutRecordsResponse putAll(PutRecordsRequest asked);
        GetShardIteratorResponse iterator(GetShardIteratorRequest asked);
        GetRecordsResponse read(GetRecordsRequest asked);
    }

    static class Sync implements Calls {
        final KinesisClient client = KinesisClient.builder().httpClient(ApacheHttpClient.create()).build();
        public PutRecordResponse put(PutRecordRequest asked) { return client.putRecord(asked); }
        public PutRecordsResponse putAll(PutRecordsRequest asked) { return client.putRecords(asked); }
        public GetShardIteratorResponse iterator(GetShardIteratorRequest asked) { return client.getShardIterator(asked); }
        public GetRecordsResponse read(GetRecordsRequest asked) { return client.getRecords(asked); }
    }

    static class Async implements Calls {
        final KinesisAsyncClient client = KinesisAsyncClient.builder()
            .httpClientBuilder(NettyNioAsyncHttpClient.builder().protocol(Protocol.HTTP2)).build();
        public PutRecordResponse put(PutRecordRequest asked) { return client.putRecord(asked).join(); }
        public PutRecordsResponse putAll(PutRecordsRequest asked) { return client.putRecords(asked).join(); }
        public GetShardIteratorResponse iterator(GetShardIteratorRequest asked) { return client.getShardIterator(asked).join(); }
        public GetRecordsResponse read(GetRecordsRequest asked) { return client.getRecords(asked).join(); }
    }

    public static void main(String[] given) throws Exception {
        beQuiet();
        Calls calls = given[0].equals("async") ? new Async() : new Sync();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = lines.readLine()) != null;) {
            JsonNode asked = JSON.readTree(line);
            Map<String, Object> answer = new TreeMap<>();
            try {
                answer.put("output", call(calls, asked.get("operation").asText(), asked.get("input")));
            } catch (Exception fault) {
                answer.put("error", fault.toString());
            }
            System.out.println(JSON.writeValueAsString(answer));
        }
        System.exit(0);
    }

    static Object call(Calls calls, String operation, JsonNode in) throws Exception {
        switch (operation) {
            case "PutRecord": {
                PutRecordResponse put = calls.put(PutRecordRequest.builder()
                    .streamName(text(in, "StreamName")).data(data(in)).partitionKey(text(in, "PartitionKey")).build());
                return Map.of("SequenceNumber", put.sequenceNumber(), "ShardId", put.shardId());
            }
            case "PutRecords": {
                List<PutRecordsRequestEntry> entries = new ArrayList<>();
                for (JsonNode one : in.get("Records")) {
                    entries.add(PutRecordsRequestEntry.builder().data(data(one)).partitionKey(text(one, "PartitionKey")).build());
                }
                PutRecordsResponse put = calls.putAll(PutRecordsRequest.builder()
                    .streamName(text(in, "StreamName")).records(entries).build());
                List<Object> outcomes = new ArrayList<>();
                for (PutRecordsResultEntry one : put.records()) outcomes.add(Map.of("SequenceNumber", one.sequenceNumber()));
                return Map.of("FailedRecordCount", put.failedRecordCount(), "Records", outcomes);
            }
            case "GetShardIterator":
                return Map.of("ShardIterator", calls.iterator(GetShardIteratorRequest.builder()
                    .streamName(text(in, "StreamName")).shardId(text(in, "ShardId"))
                    .shardIteratorType(text(in, "ShardIteratorType")).build()).shardIterator());
            case "GetRecords": {
                GetRecordsResponse read = calls.read(GetRecordsRequest.builder().shardIterator(text(in, "ShardIterator"))
                    .limit(in.has("Limit") ? in.get("Limit").asInt() : null).build());
                return Map.of("Records", records(read.records()), "NextShardIterator", read.nextShardIterator(),
                    "MillisBehindLatest", read.millisBehindLatest());
            }
            case "SubscribeToShard":
                return subscribe(((Async) calls).client, in);
            default:
                throw new IllegalArgumentException(operation + " is no operation of this program");
        }
    }

    /** The records of a subscription until there are Count of them. */
    static Object subscribe(KinesisAsyncClient client, JsonNode in) throws Exception {
        List<Object> read = new ArrayList<>();
        CompletableFuture<Object> enough = new CompletableFuture<>();
        SubscribeToShardResponseHandler handler = SubscribeToShardResponseHandler.builder()
            .onError(enough::completeExceptionally)
            .onComplete(() -> enough.completeExceptionally(new Exception("the subscription ended early")))
            .subscriber(SubscribeToShardResponseHandler.Visitor.builder().onSubscribeToShardEvent(event -> {
                read.addAll(records(event.records()));
                if (read.size() >= in.get("Count").asInt()) {
                    enough.complete(Map.of("Records", List.copyOf(read), "MillisBehindLatest", event.millisBehindLatest()));
                }
            }).build()).build();
        CompletableFuture<Void> call = client.subscribeToShard(SubscribeToShardRequest.builder()
            .consumerARN(text(in, "ConsumerARN")).shardId(text(in, "ShardId"))
            .startingPosition(StartingPosition.builder().type(ShardIteratorType.TRIM_HORIZON).build()).build(), handler);
        call.whenComplete((nothing, fault) -> { if (fault != null) enough.completeExceptionally(fault); });
        Object answer = enough.get();
        call.cancel(true);
        return answer;
    }

    static List<Object> records(List<Record> from) {
        List<Object> shown = new ArrayList<>();
        for (Record one : from) {
            String base64 = Base64.getEncoder().encodeToString(one.data().asByteArray());
            shown.add(Map.of("SequenceNumber", one.sequenceNumber(), "PartitionKey", one.partitionKey(),
                "Data", Map.of("base64", base64)));
        }
        return shown;
    }

    static SdkBytes data(JsonNode holder) {
        return SdkBytes.fromByteArray(Base64.getDecoder().decode(holder.get("Data").get("base64").asText()));
    }

    static String text(JsonNode holder, String key) { return holder.get(key).asText(); }
}
