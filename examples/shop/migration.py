"""Strangling a monolith: each change goes to the stream and to the old database; an event whose row could
not be written is taken back by another event. python migration.py STREAM DATABASE USERS"""

import sqlite3
import sys

from events import envelope, kinesis, publish


class Users:
    def __init__(self, stream, database):
        self.kinesis, self.stream, self.database = kinesis(), stream, database
        with self.database:
            self.database.execute("create table if not exists users (id text primary key, email text not null)")

    def register(self, user_id, email):
        registered = envelope("USER_REGISTERED", {"userId": user_id, "email": email})
        publish(self.kinesis, self.stream, registered, user_id)
        try:
            with self.database:
                self.database.execute("insert into users values (?, ?)", (user_id, email))
        except sqlite3.Error as error:
            undo = {"userId": user_id, "undoes": registered["eventId"], "because": type(error).__name__}
            publish(self.kinesis, self.stream, envelope("USER_REGISTRATION_UNDONE", undo), user_id)
            raise


if __name__ == "__main__":
    users = Users(sys.argv[1], sqlite3.connect(sys.argv[2]))
    for number in range(int(sys.argv[3])):
        # The last one is there already.
        name = f"user-{min(number, int(sys.argv[3]) - 2)}"
        try:
            users.register(name, f"{name}@example.com")
            print("registered", name)
        except sqlite3.Error as error:
            print("taken back", name, error)
