# Owns what the compose file's clients do with the AWS CLI: create the stream, put an order a second,
# read them all and fall behind now and then. Read by the sh of the CLI's image.
set -eu

create() {
  # LocalStack takes a while; after a restart the stream may be there.
  until aws kinesis wait stream-exists --stream-name orders; do
    aws kinesis create-stream --stream-name orders --shard-count 1 || sleep 2
  done
}

put() {
  number=0
  order=$(mktemp)
  while true; do
    number=$((number + 1))
    echo "{\"eventType\":\"ORDER_CREATED\",\"orderId\":$number}" >"$order"
    aws kinesis put-record --stream-name orders --partition-key "order-$number" --output text \
      --data "fileb://$order" || true
    sleep 1
  done
}

get() {
  at=""
  while true; do
    [ -n "$at" ] || at=$(aws kinesis get-shard-iterator --stream-name orders --query ShardIterator \
      --shard-id shardId-000000000000 --shard-iterator-type LATEST --output text) || at=""
    [ -z "$at" ] || at=$(aws kinesis get-records --shard-iterator "$at" --limit 100 \
      --query NextShardIterator --output text) || at=""
    # Two minutes of every ten it does nothing: what a lag looks like.
    if [ $(($(date +%s) % 600)) -lt 120 ]; then sleep 120; fi
    sleep 1
  done
}

"$1"
