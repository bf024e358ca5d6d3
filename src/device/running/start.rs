//! The start of a device: a configuration goes in, a [`Device`] at work comes out. Called by
//! `medfocus serve` and by programs that have a device as a part. Knows no command line, no signal
//! and no terminal.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use crate::bundle;
use crate::clock::Clock;
use crate::device::cases::nameable::Nameable;
use crate::device::cases::{Afterwards, Around, Cases};
use crate::device::config::{Config, Serial};
use crate::device::device_fault::DeviceFault;
use crate::device::display::Displays;
use crate::device::events::Events;
use crate::device::health::{self, Monitor};
use crate::device::intake::dicom;
use crate::device::intake::folder;
use crate::device::intake::serial::{Port, talk};
use crate::device::intake::socket;
use crate::device::lifecycle::Lifecycle;
use crate::device::running::device_error::DeviceError;
use crate::device::running::reload::{Reload, Reread, bundle_folder};
use crate::device::running::threads::{End, Part, Threads, spawner};
use crate::device::running::{Device, Parts};
use crate::device::sinks::{self, Sink};
use crate::device::spawner::Spawner;
use crate::device::work::supervisor::Supervisor;
use crate::device::work::worker::{Processes, Settings};
use crate::engine::PreparedKey;
use crate::image;
use crate::journal::JournalError;
use crate::storage::Disk;

/// What a device is started from.
#[non_exhaustive]
pub struct Setup {
    /// Its configuration.
    pub config: Config,
    /// The folder of all that must not be lost.
    pub state: PathBuf,
    /// The program `medfocus`: the worker and the decoders are processes of it.
    pub program: PathBuf,
    /// Where its control socket lies; `None` where there is to be none.
    pub socket: Option<PathBuf>,
    /// Its switch, on its clock.
    pub lifecycle: Arc<Lifecycle>,
    /// Reads the configuration again.
    pub reread: Box<Reread>,
    /// Is told once nobody else can open the state folder, before anything that takes long.
    pub opened: Box<dyn FnOnce() + Send>,
}

impl Setup {
    /// A device of this configuration, which a program keeps in hand itself: it has no control
    /// socket, and reading its configuration again changes nothing.
    pub fn new(config: Config, state: impl Into<PathBuf>, program: impl Into<PathBuf>) -> Self {
        let again = config.clone();
        Self {
            config,
            state: state.into(),
            program: program.into(),
            socket: None,
            lifecycle: Arc::new(Lifecycle::on(Clock::system())),
            reread: Box::new(move || Ok(again.clone())),
            opened: Box::new(|| ()),
        }
    }
}

impl Device {
    /// Starts a device: opens its state folder, has a worker load its bundle and test itself,
    /// and opens every line, folder and port of the configuration. It is at work when this
    /// returns, be it in the safe state.
    ///
    /// # Errors
    /// [`DeviceError`]; the displays show why.
    pub fn start(setup: Setup) -> Result<Self, DeviceError> {
        // Images are decoded by processes of this program, with rights of their own.
        image::isolate(&setup.program);
        let events = Arc::new(Events::on(setup.lifecycle.clock().clone()));
        let language = setup.config.device.language;
        let shown = setup.config.display.iter();
        let asked = shown.map(|shown| shown.asked(language)).collect();
        let spawner = spawner();
        let displays = Displays::start(asked, &events, &spawner);
        match at_work(setup, &events, &displays, spawner) {
            Ok(parts) => Ok(Self::of(parts, displays)),
            Err(error) => {
                displays.stop(Some(DeviceFault::of(&error)));
                Err(error)
            }
        }
    }
}

fn at_work(
    setup: Setup,
    events: &Arc<Events>,
    displays: &Displays,
    spawner: Spawner,
) -> Result<Parts, DeviceError> {
    let Setup {
        config,
        state,
        program,
        socket,
        lifecycle,
        reread,
        opened,
    } = setup;
    let chosen = super::chosen_sinks::of(&config);
    let folder = bundle_folder(&config, &state)?;
    let around = Around {
        events: Arc::clone(events),
        lifecycle: Arc::clone(&lifecycle),
        spawner,
    };
    let cases = Arc::new(open(&config, &state, &folder, &chosen, around)?);
    if let Some(back) = bundle::Store::of(&state).clock_back() {
        cases.clock_believed(&back);
    }
    opened();
    let health = health::file_of(config.health.file.as_deref(), &state);
    let monitor = Monitor::new(Arc::clone(&cases), health, &config.health);
    let last_word = monitor.last_word();
    let (tell, ended) = mpsc::channel();
    let reload = Arc::new(Reload::new(config.clone(), state.clone(), &cases, reread));
    let mut parts = Parts {
        cases: Arc::clone(&cases),
        last_word,
        reload,
        threads: Threads::new(ended, config.serial.len()),
        listening: Vec::new(),
    };
    parts.threads.spawn(&tell, Part::Other, || monitor.work());
    displays.watch(&cases);
    let settings = worker_settings(&config, &state, program, &cases);
    let trust = config.bundle.trust(&bundle::Store::of(&state));
    let environment = config.environment(&state, Path::new("/"));
    let look_around = Box::new(move || environment.checks());
    let answering = Arc::clone(&cases);
    let (tested, is_tested) = mpsc::channel();
    // On the thread that has the worker: the system ends it with the thread that began it.
    parts.threads.spawn(&tell, Part::Supervisor, move || {
        let workers = Box::new(Processes::of(settings));
        let supervisor = Supervisor::new(answering, workers, trust, look_around, folder);
        // Nobody hears it where the device did not start.
        let _ = tested.send(());
        supervisor.work();
    });
    // A supervisor that failed says so to whoever waits for the device.
    let _ = is_tested.recv();
    match open_all(
        &config,
        &state,
        socket.as_deref(),
        &lifecycle,
        &mut parts,
        &tell,
        chosen,
    ) {
        Ok(()) => Ok(parts),
        Err(error) => {
            parts.put_down();
            Err(error)
        }
    }
}

/// Opens every sink, folder, port and line.
fn open_all(
    config: &Config,
    state: &Path,
    socket: Option<&Path>,
    lifecycle: &Arc<Lifecycle>,
    parts: &mut Parts,
    tell: &Sender<End>,
    sinks: Vec<Box<dyn Sink>>,
) -> Result<(), DeviceError> {
    let cases = Arc::clone(&parts.cases);
    let keeper = Arc::clone(&cases);
    parts
        .threads
        .spawn(tell, Part::Other, move || keeper.keep());
    for sink in sinks {
        let cases = Arc::clone(&cases);
        parts
            .threads
            .spawn(tell, Part::Other, move || sinks::work(sink, &cases));
    }
    for folder in config.folder.clone() {
        let cases = Arc::clone(&cases);
        parts
            .threads
            .spawn(tell, Part::Other, move || folder::watch(folder, cases));
    }
    if let Some(options) = dicom_options(config) {
        let port = dicom::Port::open(options, state, &cases).map_err(DeviceError::Dicom)?;
        parts
            .listening
            .push(port.listening().map_err(DeviceError::Dicom)?);
        let (feeding, feeder) = (port.clone(), Arc::clone(&cases));
        parts
            .threads
            .spawn(tell, Part::Other, move || feeding.feed(&feeder));
        let (lifecycle, spawner) = (Arc::clone(lifecycle), cases.spawner().clone());
        parts
            .threads
            .spawn(tell, Part::Other, move || port.listen(&lifecycle, &spawner));
    }
    for port in config.serial.iter().map(port) {
        let cases = Arc::clone(&cases);
        parts
            .threads
            .spawn(tell, Part::Line, move || talk(&port, &cases));
    }
    if let Some(path) = socket {
        let failed = |error| DeviceError::Socket {
            path: path.to_owned(),
            error,
        };
        let listener = socket::bind(path, &config.socket).map_err(failed)?;
        let seats = socket::seats(cases.spawner()).map_err(failed)?;
        parts
            .listening
            .push(listener.try_clone().map_err(failed)?.into());
        let again = Arc::clone(&parts.reload);
        let reload: Arc<crate::device::config::Reload> = Arc::new(move || again.again());
        parts.threads.spawn(tell, Part::Other, move || {
            socket::serve(&listener, &seats, &cases, &reload)
        });
    }
    parts.cases.lifecycle().ready();
    Ok(())
}

/// Opens the state folder, so that no other device can, before anything that takes long.
fn open(
    config: &Config,
    state: &Path,
    folder: &Path,
    sinks: &[Box<dyn Sink>],
    around: Around,
) -> Result<Cases, DeviceError> {
    // Whatever is wrong with its files: as long as it is known what it is, cases are kept.
    let bundle = Arc::new(bundle::outline(folder)?);
    let folders = config.folder.iter().map(|folder| &folder.exam);
    let mut exams = folders.chain([&config.dicom.exam]).flatten();
    if let Some(name) = exams.find(|name| bundle.exam(name).is_none()) {
        let there = bundle.exams.iter().map(|exam| exam.name.clone());
        return Err(DeviceError::NoExam {
            name: name.clone(),
            there: there.collect(),
        });
    }
    let storage = Disk::make(state).map_err(JournalError::from)?;
    let afterwards = Afterwards {
        sinks: sinks.iter().map(|sink| sink.spec()).collect(),
        keeping: config.keep.keeping(),
    };
    let cases = Cases::open(bundle, storage, afterwards, around)?;
    cases.configured(config.sha256())?;
    cases.bound(config.queue.bounds());
    let watched = config.folder.iter().map(|folder| folder.path.clone());
    let folders = config.console.folders.iter().cloned().chain(watched);
    let start = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    cases.set_nameable(Nameable::beneath(folders, &start));
    Ok(cases)
}

fn worker_settings(config: &Config, state: &Path, program: PathBuf, cases: &Cases) -> Settings {
    let device = &config.device;
    Settings {
        program,
        prepared: made_key(state),
        threads: device.threads,
        memory_mib: device.memory_mib,
        case: Duration::from_secs(device.deadline_s.into()),
        start: Settings::START,
        lifecycle: Arc::clone(cases.shared_lifecycle()),
        uses: Arc::clone(cases.worker_memory()),
        spawner: cases.spawner().clone(),
    }
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
