//! Owns SubscribeToShard's event stream: where a message ends, what it says, and the same message
//! without our insertions. Refuses to hold the stream up.
