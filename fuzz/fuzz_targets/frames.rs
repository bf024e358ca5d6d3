//! Framed mode: any bytes into both roles, then a link is opened. Nothing panics, a frame
//! is accepted only where its very bytes were on the line, and the first valid frame after
//! the noise is understood.
#![no_main]

use firmware_host::link::{Endpoint, Role};
use firmware_host::message::{Inbox, Report, Request, unpack};
use firmware_host::wire::{Packet, Run, Splitter, pack};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for role in [Role::Host, Role::Device] {
        let mut splitter = Splitter::default();
        let mut endpoint = Endpoint::new(role, 115_200);
        let mut inbox = Inbox::default();
        endpoint.open(1, 0);
        let mut open = pack(&Packet::Open { nonce: 77 }).unwrap();
        if role == Role::Host {
            open = pack(&Packet::Opened { nonce: 1 }).unwrap();
        }
        let mut understood = false;
        for (now, &byte) in (0_u64..).zip(bytes.iter().chain(&open)) {
            let Some(Run::Frame(Ok(packet))) = splitter.push(byte) else {
                continue;
            };
            let wire = pack(&packet).expect("what was read can be written");
            understood = wire == open;
            endpoint.receive(&packet, now);
            while let Ok(Some(body)) = inbox.next(&mut endpoint) {
                let _ = (unpack::<Request<'_>>(body), unpack::<Report<'_>>(body));
            }
            endpoint.write(b"something to say");
            for _ in 0..3 {
                let _ = endpoint.next_packet(now * 100).and_then(|packet| pack(&packet));
            }
        }
        assert!(understood);
        let _ = endpoint.next_packet(0);
    }
});
