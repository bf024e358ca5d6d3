//! Answers the cases. The supervisor hands one case after the other to the worker, a process of
//! its own that runs the graphs. It starts workers, and uses only one that passed the self-test.
//!
//! | module | what it is for |
//! |---|---|
//! | [`supervisor`] | the next case, the self-test, another bundle; the safe state |
//! | [`workers`] | what the supervisor needs of whoever runs its cases |
//! | [`worker`] | the worker process, and the messages to it and from it |
//! | [`run`] | one case, from its question to a finding or a refusal |
//! | [`lost`] | why a worker is gone, and what that means for its case |
//! | [`in_hand`] | which case a thread works on, so that the log can name it |

pub(super) mod in_hand;
pub mod lost;
pub mod run;
pub(super) mod supervisor;
pub mod worker;
pub(super) mod workers;
