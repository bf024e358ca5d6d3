//! The wire core and the screens run without a single allocation.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::RgbColor;
use firmware_host::console::Request as Line;
use firmware_host::link::{Endpoint, Role};
use firmware_host::message::{self, Inbox, Report, Request};
use firmware_host::screens::{
    Canvas, Health, Language, Page, Painter, Panel, Screen, Stage, lay_out,
};
use firmware_host::wire::{Run, Splitter, pack};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came; counting touches no memory
// of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What one end sends the other takes; gives the console lines that were understood.
fn carry(from: &mut Endpoint, to: &mut Endpoint, splitter: &mut Splitter, now: u64) -> usize {
    let mut lines = 0;
    while let Some(packet) = from.next_packet(now) {
        let wire = pack(&packet).expect("short");
        for &byte in wire.iter().chain(b"CASE:RES? 7,JSON\n") {
            match splitter.push(byte) {
                Some(Run::Frame(Ok(packet))) => {
                    to.receive(&packet, now);
                }
                Some(Run::Line(line)) => {
                    lines += usize::from(
                        line.and_then(Line::parse)
                            .and_then(|line| line.first())
                            .is_ok(),
                    );
                }
                // The first byte of a frame may be one.
                Some(Run::Clear) | None => {}
                other => panic!("{other:?}"),
            }
        }
    }
    lines
}

#[test]
fn console_link_and_messages_allocate_nothing() {
    let mut host = Endpoint::new(Role::Host, 115_200);
    let mut device = Endpoint::new(Role::Device, 115_200);
    let (mut up, mut down) = (Splitter::default(), Splitter::default());
    let (mut host_inbox, mut device_inbox) = (Inbox::default(), Inbox::default());
    let before = ALLOCATIONS.with(Cell::get);
    let (mut lines, mut chunks, mut reports) = (0, 0, 0);
    host.open(1, 0);
    for now in 0..200 {
        if host.is_open() && host.room() > 600 {
            let bytes = &[now as u8; 500];
            let chunk = message::pack(&Request::Chunk { offset: 0, bytes }).expect("short");
            host.write(&chunk);
        }
        lines += carry(&mut host, &mut device, &mut up, now);
        while let Ok(Some(body)) = device_inbox.next(&mut device) {
            let request: Option<Request<'_>> = message::unpack(body);
            chunks += usize::from(request.is_some());
            let stored = Report::Stored { image: [7; 32] };
            device.write(&message::pack(&stored).expect("short"));
        }
        lines += carry(&mut device, &mut host, &mut down, now);
        while let Ok(Some(body)) = host_inbox.next(&mut host) {
            reports += usize::from(message::unpack::<Report<'_>>(body).is_some());
        }
    }
    let allocations = ALLOCATIONS.with(Cell::get) - before;
    assert!(
        lines > 300 && chunks > 150 && reports > 150,
        "{lines} {chunks} {reports}"
    );
    assert_eq!(allocations, 0);
    drop(Box::new(1));
    assert_ne!(ALLOCATIONS.with(Cell::get), before, "the counter counts");
}

#[test]
fn screens_allocate_nothing() {
    const PANEL: Panel = Panel::MONO_128X64;
    let health = Health {
        version: "0",
        bundle: "starter",
        intended_use: None,
        self_test: true,
        storage: true,
        waiting: 1,
        answered: 2,
        warning: "",
        warning_help: "Set the clock.",
    };
    let before = ALLOCATIONS.with(Cell::get);
    let mut canvas = Canvas::over(PANEL.size, [Rgb888::BLACK; 128 * 64]).expect("as many pixels");
    let mut painter = Painter::default();
    let mut changed = 0;
    for language in Language::ALL {
        for stage in Stage::ALL {
            let screen = Screen::Working { case: 7, stage };
            let frame = lay_out(&screen, Page::Summary, &health, PANEL, language);
            let Ok(damage) = painter.paint(&frame, &mut canvas);
            changed += damage.len();
        }
    }
    let allocations = ALLOCATIONS.with(Cell::get) - before;
    assert!(changed > 20, "{changed}");
    assert_eq!(allocations, 0);
}
