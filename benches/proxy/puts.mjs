// Owns the load of a Node producer: the AWS SDK for JavaScript as it comes, puts of 1 KiB. Prints
// puts per second. Arguments: the folder with node_modules, the endpoint, puts, how many at once.
import { createRequire } from "node:module";

const [folder, endpoint, puts, atOnce] = process.argv.slice(2);
const { KinesisClient, PutRecordCommand } = createRequire(`${folder}/`)("@aws-sdk/client-kinesis");
const client = new KinesisClient({
  endpoint,
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
});
const event = { eventId: "5f0c7d1e", eventType: "ORDER_CREATED", payload: { note: "x".repeat(950) } };
const Data = Buffer.from(JSON.stringify(event));

async function load(count) {
  let left = count;
  const one = async () => {
    while (left-- > 0) {
      await client.send(new PutRecordCommand({ StreamName: "orders", PartitionKey: "user-42", Data }));
    }
  };
  await Promise.all(Array.from({ length: Number(atOnce) }, one));
}

await load(50); // warms the compiler and the pools
const began = process.hrtime.bigint();
await load(Number(puts));
console.log(Number(puts) / (Number(process.hrtime.bigint() - began) / 1e9));
process.exit(0);
