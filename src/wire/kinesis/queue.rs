//! Owns the bodies of ReceiveQueueRecords: a queue's records, their age and how often each was
//! received. Refuses to change them.
