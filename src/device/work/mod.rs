//! Who answers the cases: the supervisor hands one after the other to a worker, a process of its
//! own that runs the graphs, and sees to it that there is one that may.
//!
//! | module | what it is for |
//! |---|---|
//! | [`supervisor`] | the next case, the self-test, another bundle; the safe state |
//! | [`worker`] | the process, what is said to it and what it says |
//! | [`run`] | what becomes of one case |
//! | [`in_hand`] | the case that a thread works on, for the log |

pub(super) mod in_hand;
pub mod run;
pub(super) mod supervisor;
pub mod worker;
