"""Takes orders and tells the rest of the shop: python order_service.py STREAM ORDERS"""

import sys
import uuid

from events import envelope, kinesis, publish


class OrderService:
    def __init__(self, stream):
        self.kinesis, self.stream = kinesis(), stream

    def create_order(self, user_id, items):
        order_id = str(uuid.uuid4())
        total_cents = sum(item["priceCents"] * item["quantity"] for item in items)
        order = {"orderId": order_id, "userId": user_id, "items": items, "status": "PENDING",
                 "totalCents": total_cents}
        publish(self.kinesis, self.stream, envelope("ORDER_CREATED", order), user_id)
        return order_id

    def cancel_order(self, user_id, order_id):
        event = envelope("ORDER_CANCELLED", {"orderId": order_id, "userId": user_id})
        publish(self.kinesis, self.stream, event, user_id)


if __name__ == "__main__":
    service = OrderService(sys.argv[1])
    for number in range(int(sys.argv[2])):
        item = {"productId": f"p-{number % 3}", "quantity": 1 + number % 2, "priceCents": 1250}
        user = f"user-{number % 5}"
        order = service.create_order(user, [item])
        if number % 4 == 3:
            service.cancel_order(user, order)
        print(order)
