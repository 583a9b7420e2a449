// Owns a real KCL application as a program: `polling` or `fan-out`, a stream, the application's name.
// Each batch that the library hands over is a line of JSON out. A line in lets it take one batch,
// "all" every further one: so a test decides when it stalls. The end of its input ends it.
// Endpoints of Kinesis, DynamoDB and CloudWatch come from the environment, as in any application.

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Semaphore;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.common.KinesisClientUtil;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.lifecycle.events.*;
import software.amazon.kinesis.processor.ShardRecordProcessor;
import software.amazon.kinesis.processor.SingleStreamTracker;
import software.amazon.kinesis.retrieval.KinesisClientRecord;
import software.amazon.kinesis.retrieval.RetrievalConfig;
import software.amazon.kinesis.retrieval.fanout.FanOutConfig;
import software.amazon.kinesis.retrieval.polling.PollingConfig;

public class Kcl {
    static final ObjectMapper JSON = new ObjectMapper();
    static final Semaphore LEAVE = new Semaphore(0);
    static final long STARTED = System.currentTimeMillis();

    static class Processor implements ShardRecordProcessor {
        String shard;

        public void initialize(InitializationInput input) {
            shard = input.shardId();
            say(Map.of("event", "initialized", "shard", shard));
        }

        public void processRecords(ProcessRecordsInput input) {
            List<Object> records = new ArrayList<>();
            for (KinesisClientRecord one : input.records()) {
                byte[] data = new byte[one.data().remaining()];
                one.data().get(data);
                records.add(Map.of("SequenceNumber", one.sequenceNumber(), "PartitionKey", one.partitionKey(),
                    "sub", one.subSequenceNumber(), "aggregated", one.aggregated(),
                    "Data", Map.of("base64", Base64.getEncoder().encodeToString(data))));
            }
            say(Map.of("event", "records", "shard", shard, "Records", records,
                "MillisBehindLatest", input.millisBehindLatest()));
            if (records.isEmpty()) return;
            LEAVE.acquireUninterruptibly();
            try {
                input.checkpointer().checkpoint();
                say(Map.of("event", "checkpoint", "shard", shard));
            } catch (Exception fault) {
                say(Map.of("event", "fault", "fault", fault.toString()));
            }
        }

        public void leaseLost(LeaseLostInput input) { say(Map.of("event", "lost", "shard", shard)); }
        public void shardEnded(ShardEndedInput input) { say(Map.of("event", "ended", "shard", shard)); }
        public void shutdownRequested(ShutdownRequestedInput input) { }
    }

    static synchronized void say(Map<String, Object> what) {
        try {
            Map<String, Object> line = new java.util.TreeMap<>(what);
            line.put("after_ms", System.currentTimeMillis() - STARTED);
            System.out.println(JSON.writeValueAsString(line));
        } catch (Exception fault) {
            throw new IllegalStateException(fault);
        }
    }

    public static void main(String[] given) throws Exception {
        ((ch.qos.logback.classic.Logger) org.slf4j.LoggerFactory.getLogger("ROOT")).setLevel(ch.qos.logback.classic.Level.WARN);
        String mode = given[0], stream = given[1], application = given[2];
        KinesisAsyncClient kinesis = KinesisClientUtil.createKinesisAsyncClient(KinesisAsyncClient.builder());
        SingleStreamTracker tracker = new SingleStreamTracker(stream,
            InitialPositionInStreamExtended.newInitialPosition(InitialPositionInStream.TRIM_HORIZON));
        ConfigsBuilder configs = new ConfigsBuilder(tracker, application, kinesis, DynamoDbAsyncClient.create(),
            CloudWatchAsyncClient.create(), application + "-worker", Processor::new);
        RetrievalConfig retrieval = configs.retrievalConfig();
        if (mode.equals("polling")) {
            // One record a read: so there is a lag to be seen between two reads.
            PollingConfig polling = new PollingConfig(stream, kinesis).maxRecords(1)
                .idleTimeBetweenReadsInMillis(200).usePollingConfigIdleTimeValue(true);
            polling.recordsFetcherFactory().maxPendingProcessRecordsInput(1);
            retrieval.retrievalSpecificConfig(polling);
        } else {
            retrieval.retrievalSpecificConfig(new FanOutConfig(kinesis).streamName(stream).applicationName(application));
        }
        Scheduler scheduler = new Scheduler(configs.checkpointConfig(),
            // What is waited for between two looks at a table that another worker might have changed:
            // there is no other worker here.
            configs.coordinatorConfig().parentShardPollIntervalMillis(200)
                .shardConsumerDispatchPollIntervalMillis(100).schedulerInitializationBackoffTimeMillis(100)
                .skipShardSyncAtWorkerInitializationIfLeasesExist(true),
            configs.leaseManagementConfig().failoverTimeMillis(2000).shardSyncIntervalMillis(1000)
                .initialLeaseTableReadCapacity(100).initialLeaseTableWriteCapacity(100)
                .leasesRecoveryAuditorExecutionFrequencyMillis(1000).leaseAssignmentIntervalMillis(500L),
            configs.lifecycleConfig(), configs.metricsConfig().metricsBufferTimeMillis(1000),
            configs.processorConfig().callProcessRecordsEvenForEmptyRecordList(true), retrieval);
        Thread worker = new Thread(scheduler, "scheduler");
        worker.setDaemon(true);
        worker.start();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = lines.readLine()) != null;) {
            LEAVE.release(line.equals("all") ? 1 << 20 : 1);
        }
        Runtime.getRuntime().halt(0);
    }
}
