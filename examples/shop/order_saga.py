"""An order as a saga: each step is a command on the stream; what was done is undone in reverse order when
a later step fails. python order_saga.py STREAM TOTAL_CENTS…"""

import sys
import uuid

from events import envelope, kinesis, publish

STEPS = ["RESERVE_INVENTORY", "PROCESS_PAYMENT", "SHIP_ORDER"]
UNDO = {"RESERVE_INVENTORY": "RELEASE_INVENTORY", "PROCESS_PAYMENT": "REFUND_PAYMENT"}
LIMIT_CENTS = 100_000


class StepFailed(Exception):
    pass


class OrderSaga:
    def __init__(self, client, stream):
        self.kinesis, self.stream = client, stream
        self.saga_id = str(uuid.uuid4())

    def execute(self, order):
        done = []
        try:
            for step in STEPS:
                self.command(step, order)
                self.carry_out(step, order)
                done.append(step)
        except StepFailed:
            for step in reversed(done):
                self.command(UNDO[step], order)
            self.command("ORDER_FAILED", order)
            return False
        self.command("ORDER_COMPLETED", order)
        return True

    def carry_out(self, step, order):
        """What the services behind the commands would answer."""
        if step == "PROCESS_PAYMENT" and order["totalCents"] > LIMIT_CENTS:
            raise StepFailed(step)

    def command(self, name, order):
        event = {**envelope(name, order), "sagaId": self.saga_id}
        publish(self.kinesis, self.stream, event, self.saga_id)


if __name__ == "__main__":
    client = kinesis()
    for total in map(int, sys.argv[2:]):
        saga = OrderSaga(client, sys.argv[1])
        order = {"orderId": str(uuid.uuid4()), "totalCents": total}
        print("completed" if saga.execute(order) else "compensated", saga.saga_id)
