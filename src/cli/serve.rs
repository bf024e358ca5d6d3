//! `medfocus serve`: the device, until it is switched off.

mod options;
mod reload;
mod signals;
mod sinks;

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use clap::Args;
use medfocus::bundle;
use medfocus::control::Reloaded;
use medfocus::device::config::{self, Config, Serial};
use medfocus::device::health::{self, Monitor};
use medfocus::device::sinks::Sink;
use medfocus::device::{
    Afterwards, Cases, DeviceFault, Displays, Environment, Event, Events, Lifecycle, Nameable,
    Port, Supervisor, Worker, WorkerSettings, dicom, folder, socket, talk,
};
use medfocus::engine::PreparedKey;
use medfocus::sandbox;

use super::{Failure, no_exam, put, state};
use options::Options;
use reload::Reload;
pub use reload::bundle_folder;

#[derive(Debug, Args)]
#[command(after_help = "\
The console takes one line and answers with one line (HELP? lists the commands):
  EXAM brain4
  CASE:RUN \"/images/slice.png\"   answers with the case's number
  CASE:STAT? 1                   waiting, running, finding, refusal or aborted
  CASE:RES? 1                    the answer; CASE:RES? 1,JSON for all of it

The device may be switched off at any time: what was accepted is answered after the
next start. `--serial -` talks on standard input and output.

With --config all of this stands in a file; --print-config prints one to begin with.

Examples:
  medfocus serve --serial /dev/ttyUSB0 --baud 115200
  medfocus serve --serial /dev/ttyAMA0 --display ssd1306:/dev/i2c-1 --language sw
  medfocus serve --serial - --display png:pictures
  medfocus serve --dicom-port 11112 --dicom-allow XRAY@10.0.0.7 --pacs ARCHIVE@10.0.0.5:104
  medfocus serve --folder /srv/incoming --results /srv/findings --hl7 10.0.0.6:2575
  medfocus serve --print-config > medfocus.toml
  medfocus serve --config medfocus.toml --check-config
  medfocus serve --config medfocus.toml")]
pub struct ServeArguments {
    #[command(flatten)]
    options: Options,
}

pub fn run(arguments: &ServeArguments) -> Result<(), Failure> {
    let options = &arguments.options;
    if options.print_config {
        return put(config::EXAMPLE);
    }
    let config = options.config()?;
    if options.check_config {
        let text = format!("nothing is wrong; its hash is {}\n", config.sha256());
        return put(&text);
    }
    if let Err(error) = sandbox::hide_memory() {
        log::warn!("the device's memory is not hidden: {error}");
    }
    let events = Arc::new(Events::default());
    let language = config.device.language;
    let asked = config.display.iter().map(|shown| shown.asked(language));
    let displays = Displays::start(asked.collect(), &events);
    let lifecycle = Arc::new(Lifecycle::watched());
    let reload = Arc::new(Reload::new(options.clone()));
    signals::listen(&lifecycle, &reload).map_err(|error| Failure::Device {
        code: "signals",
        message: format!("signals cannot be taken: {error}"),
        help: "start the device again and report this",
    })?;
    let served = serve(options, &config, &events, &displays, &lifecycle, &reload);
    displays.stop(served.as_ref().err().and_then(Failure::device_fault));
    served
}

fn serve(
    options: &Options,
    config: &Config,
    events: &Arc<Events>,
    displays: &Displays,
    lifecycle: &Arc<Lifecycle>,
    reload: &Arc<Reload>,
) -> Result<(), Failure> {
    let state = state::folder(config.device.state.as_deref())?;
    let sinks = sinks::of(config);
    let folder = bundle_folder(config, &state)?;
    let cases = open(config, &state, &folder, events, &sinks, lifecycle)?;
    if let Some(back) = bundle::Store::of(&state).clock_back() {
        cases.clock_believed(&back);
    }
    options.note(&state);
    let health = health::file_of(config.health.file.as_deref(), &state);
    let monitor = Monitor::new(cases, health.clone(), config.health.metrics.clone());
    let last_word = monitor.last_word();
    std::thread::spawn(|| monitor.work());
    displays.watch(cases);
    let supervisor = supervisor(config, &state, folder, events, lifecycle, cases)?;
    let at_a_desk = work(config, &state, cases, supervisor, sinks, reload);
    cases.sign_off();
    last_word.say(&health, config.health.metrics.as_deref());
    let at_a_desk = at_a_desk?;
    // Who tried it at a desk hears how it stood.
    match cases.status().fault {
        Some(device_fault) if at_a_desk => Err(DeviceFault::clone(&device_fault).into()),
        _ => Ok(()),
    }
}

/// Has every part at work until the device is switched off. True where that was because
/// standard input, its last line, was closed.
fn work(
    config: &Config,
    state: &Path,
    cases: &'static Cases,
    supervisor: Supervisor,
    sinks: Vec<Box<dyn Sink>>,
    reload: &Arc<Reload>,
) -> Result<bool, Failure> {
    let (tell, ended) = mpsc::channel();
    until_it_ends(&tell, Part::Supervisor, || supervisor.work());
    std::thread::spawn(|| cases.keep());
    medfocus::device::sinks::start(sinks, cases);
    for folder in &config.folder {
        folder::watch(folder.clone(), cases);
    }
    if let Some(options) = dicom_options(config) {
        dicom::start(options, state, cases).map_err(|error| Failure::Device {
            code: "dicom",
            message: format!("DICOM: {error}"),
            help: "name a port that is free with --dicom-port, above 1023 or with the right to it",
        })?;
    }
    for port in config.serial.iter().map(port) {
        until_it_ends(&tell, Part::Line, move || talk(&port, cases));
    }
    reload.runs(config.clone(), state.to_owned(), cases);
    listen(config, state, cases, reload)?;
    cases.lifecycle().ready();
    wait(&ended, config.serial.len(), cases.lifecycle())
}

/// Opens the control socket, where there is to be one.
fn listen(
    config: &Config,
    state: &Path,
    cases: &'static Cases,
    reload: &Arc<Reload>,
) -> Result<(), Failure> {
    if !config.socket.enabled {
        return Ok(());
    }
    let path = state::socket(config.socket.path.as_deref(), state);
    let reload = Arc::clone(reload);
    let again = move || {
        let changes = reload.again()?;
        Ok(Reloaded {
            running: changes.running,
            at_next_start: changes.at_next_start,
        })
    };
    socket::listen(&path, cases, Arc::new(again)).map_err(|error| Failure::Device {
        code: "socket",
        message: format!(
            "{}: the control socket cannot be opened: {error}",
            path.display()
        ),
        help: "name a short path in a folder that can be written, with --socket",
    })
}

/// A part of the device that may end.
#[derive(Clone, Copy)]
enum Part {
    Supervisor,
    Line,
}

/// How a part ended: by itself, or by a fault of the program.
type End = (Part, std::thread::Result<()>);

/// Works on a thread of its own, and tells how that ended.
fn until_it_ends(tell: &Sender<End>, part: Part, work: impl FnOnce() + Send + 'static) {
    let tell = tell.clone();
    std::thread::spawn(move || {
        let ended = catch_unwind(AssertUnwindSafe(work));
        // Nobody hears it where the program has ended.
        let _ = tell.send((part, ended));
    });
}

/// Waits until the device is switched off and has put its work down. True where that was
/// because its last line, which was standard input, was closed.
fn wait(ended: &Receiver<End>, mut lines: usize, lifecycle: &Lifecycle) -> Result<bool, Failure> {
    let mut at_a_desk = false;
    loop {
        match ended.recv() {
            Ok((Part::Supervisor, Ok(()))) => return Ok(at_a_desk),
            Ok((Part::Line, Ok(()))) => {
                lines -= 1;
                if lines == 0 {
                    at_a_desk = lifecycle.is_on();
                    lifecycle.switch_off();
                }
            }
            Ok((_, Err(_))) | Err(_) => {
                return Err(Failure::Device {
                    code: "line",
                    message: "a thread of the device failed".to_owned(),
                    help: "start the device again and report this",
                });
            }
        }
    }
}

/// Opens the state folder, so that no other device can, before anything that takes long.
fn open(
    config: &Config,
    state: &Path,
    folder: &Path,
    events: &Arc<Events>,
    sinks: &[Box<dyn Sink>],
    lifecycle: &Arc<Lifecycle>,
) -> Result<&'static Cases, Failure> {
    // Whatever is wrong with its files: as long as it is known what it is, cases are kept.
    let bundle = Arc::new(bundle::outline(folder)?);
    let folders = config.folder.iter().map(|folder| &folder.exam);
    let mut exams = folders.chain([&config.dicom.exam]).flatten();
    if let Some(name) = exams.find(|name| bundle.exam(name).is_none()) {
        return Err(no_exam(name, bundle.exams.iter().map(|exam| &exam.name)));
    }
    let afterwards = Afterwards {
        sinks: sinks.iter().map(|sink| sink.spec()).collect(),
        keeping: config.keep.keeping(),
    };
    let cases = Cases::open(
        bundle,
        state,
        Arc::clone(events),
        afterwards,
        Arc::clone(lifecycle),
    )?;
    cases.configured(config.sha256())?;
    cases.bound(&config.queue);
    let watched = config.folder.iter().map(|folder| folder.path.clone());
    let folders = config.console.folders.iter().cloned().chain(watched);
    let start = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    cases.set_nameable(Nameable::beneath(folders, &start));
    Ok(Box::leak(Box::new(cases)))
}

/// Starts the worker, which tests itself.
fn supervisor(
    config: &Config,
    state: &Path,
    folder: PathBuf,
    events: &Arc<Events>,
    lifecycle: &Arc<Lifecycle>,
    cases: &'static Cases,
) -> Result<Supervisor, Failure> {
    let settings = worker_settings(config, state, lifecycle)?;
    let environment = Environment::of(config, state, Path::new("/"));
    let mut tell = |health| events.tell(&Event::Health(health));
    let started = Worker::start(&settings, &folder, &mut tell);
    Ok(Supervisor::new(
        cases,
        settings,
        environment,
        folder,
        started,
    ))
}

fn worker_settings(
    config: &Config,
    state: &Path,
    lifecycle: &Arc<Lifecycle>,
) -> Result<WorkerSettings, Failure> {
    let device = &config.device;
    Ok(WorkerSettings {
        program: super::program()?,
        trust: config.bundle.trust(&bundle::Store::of(state)),
        prepared: made_key(state),
        threads: device.threads,
        memory_mib: device.memory_mib,
        case: Duration::from_secs(device.deadline_s.into()),
        start: WorkerSettings::START,
        lifecycle: Arc::clone(lifecycle),
    })
}

/// The key of prepared graphs; without one, starts take longer and nothing else.
fn made_key(state: &Path) -> Option<PreparedKey> {
    let key = bundle::make_prepared_key(state);
    let told = key.inspect_err(|error| log::warn!("no prepared graph is used: {error}"));
    told.ok()
}

fn dicom_options(config: &Config) -> Option<dicom::Options> {
    let dicom = &config.dicom;
    Some(dicom::Options {
        listen: SocketAddr::new(dicom.bind, dicom.port?),
        title: dicom.title.clone(),
        peers: dicom.allow.clone(),
        open: dicom.open,
        hurry: dicom.hurry.clone(),
        most_per_address: dicom.most_per_address as usize,
        deadlines: dicom.deadlines(),
        exam: dicom.exam.clone(),
    })
}

fn port(serial: &Serial) -> Port {
    match serial.port.as_str() {
        "-" => Port::Standard {
            abort: serial.abort,
        },
        path => Port::Device {
            path: path.to_owned(),
            baud: serial.baud,
            abort: serial.abort,
        },
    }
}
