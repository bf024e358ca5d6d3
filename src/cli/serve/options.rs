//! What `serve` is told: a configuration file, and options that win over it. Options come in, a
//! checked [`Config`] comes out, or all that is wrong with it. Starts nothing.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use firmware_host::screens::Language;
use medfocus::device::Reach;
use medfocus::device::config::{
    Config, ConfigError, HostPort, Serial, Shown, Watched, Written, language_codes,
};
use medfocus::device::dicom::{self, Pacs, Peer};

use crate::cli::limits;
use crate::cli::outputs::Kind;
use crate::cli::state::StateFolder;
use crate::cli::trust;
use crate::cli::trust_policy;

#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Configuration in TOML; the options below win over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Say all that is wrong with the configuration, and end
    #[arg(long)]
    pub check_config: bool,
    /// Print a configuration that names and explains every key, and end
    #[arg(long)]
    pub print_config: bool,
    /// Serial port to answer on, `-` for standard input and output; may be given several times
    #[arg(long, value_name = "PORT")]
    serial: Vec<String>,
    /// Bits a second of the serial ports; 115200 where nothing says otherwise
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(300..=4_000_000))]
    baud: Option<u32>,
    /// Folder whose files a console may name, beside the watched ones; may be given several
    /// times. Where neither this nor --config is given: the folder the program is started in
    #[arg(long, value_name = "DIR")]
    console_folder: Vec<PathBuf>,
    /// Display: ssd1306, st7789, ili9341, epd, fb or png, and its place, as
    /// `ssd1306:/dev/i2c-1` or `png:FOLDER`; may be given several times
    #[arg(long, value_name = "KIND:PLACE[,KEY=VALUE]")]
    display: Vec<Written>,
    /// Seconds after which an answer leaves the displays where nobody turns a page, 0 for
    /// never: then it stays until the next case, as it does where nothing is said
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=86_400))]
    display_idle: Option<u32>,
    /// Show the patient's age and sex, where they are known, beside the exam
    #[arg(long)]
    display_patient: bool,
    #[arg(long, value_name = "CODE", value_parser = language, help = language_help())]
    language: Option<Language>,
    /// Folder whose images are answered; may be given several times
    #[arg(long, value_name = "DIR")]
    folder: Vec<PathBuf>,
    /// Control socket; where absent, in the service manager's or the state folder
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Port to receive DICOM images on, by C-STORE
    #[arg(long, value_name = "PORT")]
    dicom_port: Option<u16>,
    /// Address to receive DICOM images on; 0.0.0.0 where nothing says otherwise
    #[arg(long, value_name = "ADDRESS")]
    dicom_bind: Option<IpAddr>,
    /// The device's own DICOM AE title; MEDFOCUS where nothing says otherwise
    #[arg(long, value_name = "TITLE", value_parser = dicom::title_of)]
    aet: Option<String>,
    /// Who may send DICOM images; may be given several times, this computer alone where absent
    #[arg(long, value_name = "TITLE[@ADDRESS]")]
    dicom_allow: Vec<Peer>,
    /// Let anyone send DICOM images, from anywhere
    #[arg(long, conflicts_with = "dicom_allow")]
    dicom_open: bool,
    /// Whose DICOM images may hurry: what others say of a hurry is written down and not done;
    /// may be given several times
    #[arg(long, value_name = "TITLE[@ADDRESS]")]
    dicom_hurry: Vec<Peer>,
    /// Exam that every DICOM image is asked; where absent, the one that it asks for itself
    #[arg(long, value_name = "NAME")]
    dicom_exam: Option<String>,
    /// Write the device's health to this file, as metrics for Prometheus
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
    /// Write what becomes of every case to this folder, as JSON
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// Write these beside the JSON of each finding; overlay where nothing says otherwise
    #[arg(long, value_enum, value_name = "KIND", value_delimiter = ',')]
    results_write: Option<Vec<Kind>>,
    /// Send every finding there as HL7 ORU^R01 over MLLP
    #[arg(long, value_name = "HOST:PORT")]
    hl7: Option<HostPort>,
    /// Send the findings of DICOM images there: report, region and picture
    #[arg(long, value_name = "TITLE@HOST:PORT")]
    pacs: Option<Pacs>,
    /// Leave out of what is written and sent what tells whose image it is, in words and in pixels
    #[arg(long)]
    deidentify: bool,
    /// Seconds that a case may take, 60 where nothing says otherwise; one that takes longer
    /// is refused
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    deadline: Option<u32>,
    #[command(flatten)]
    state: StateFolder,
    /// Folder of the model bundle; where absent, the installed one, else the starter bundle
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    trust: trust::TrustArguments,
    #[command(flatten)]
    limits: limits::LimitArguments,
}

impl Options {
    /// What the device is to run from.
    ///
    /// # Errors
    /// [`ConfigError`], with all that is wrong in the file, or all that does not go together.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let mut config = match &self.config {
            Some(file) => Config::read(file)?,
            None => Config::default(),
        };
        self.overrule(&mut config);
        let problems = config.conflicts();
        if problems.is_empty() {
            return Ok(config);
        }
        let file = self.config.clone();
        Err(ConfigError { file, problems })
    }

    /// Notes what the device demands of its bundles, for whoever installs one.
    pub fn note(&self, state: &Path) {
        let config = self.config.as_deref();
        trust_policy::note(state, config, &self.trust, self.bundle.as_deref());
    }

    fn overrule(&self, config: &mut Config) {
        let device = &mut config.device;
        put(&mut device.threads, &self.limits.threads);
        put(&mut device.language, &self.language);
        put_some(&mut device.memory_mib, &self.limits.memory);
        put(&mut device.deadline_s, &self.deadline);
        put_some(&mut device.state, &self.state.state);
        put_some(&mut config.bundle.folder, &self.bundle);
        if !self.trust.keys.is_empty() {
            config.bundle.keys.clone_from(&self.trust.keys);
        }
        config.bundle.require_signature |= self.trust.require_signature;
        put_some(&mut config.bundle.revoked, &self.trust.revoked);
        if !self.serial.is_empty() {
            let serial = |port: &String| Serial {
                port: port.clone(),
                baud: Serial::BAUD,
                abort: Reach::default(),
            };
            config.serial = self.serial.iter().map(serial).collect();
        }
        for serial in &mut config.serial {
            put(&mut serial.baud, &self.baud);
        }
        if !self.console_folder.is_empty() {
            config.console.folders.clone_from(&self.console_folder);
        } else if self.config.is_none() {
            // Whoever starts it by hand names files from where they are. Services begin in the
            // root, where every file lies.
            let here = std::env::current_dir().ok();
            let here = here.filter(|here| here.parent().is_some());
            config.console.folders.extend(here);
        }
        if !self.display.is_empty() {
            config.display = self.display.iter().cloned().map(Shown::at).collect();
        }
        for display in &mut config.display {
            put(&mut display.idle_s, &self.display_idle);
            display.show_patient |= self.display_patient;
        }
        if !self.folder.is_empty() {
            config.folder = self.folder.iter().cloned().map(Watched::at).collect();
        }
        if self.socket.is_some() {
            config.socket.enabled = true;
            config.socket.path.clone_from(&self.socket);
        }
        let dicom = &mut config.dicom;
        put_some(&mut dicom.port, &self.dicom_port);
        put(&mut dicom.bind, &self.dicom_bind);
        put(&mut dicom.title, &self.aet);
        put_some(&mut dicom.exam, &self.dicom_exam);
        if !self.dicom_allow.is_empty() {
            dicom.allow.clone_from(&self.dicom_allow);
            dicom.open = false;
        }
        if self.dicom_open {
            dicom.open = true;
            dicom.allow.clear();
        }
        if !self.dicom_hurry.is_empty() {
            dicom.hurry.clone_from(&self.dicom_hurry);
        }
        put_some(&mut config.health.metrics, &self.metrics);
        self.overrule_sinks(config);
    }
}

impl Options {
    fn overrule_sinks(&self, config: &mut Config) {
        let Config {
            results, hl7, pacs, ..
        } = config;
        put_some(&mut results.folder, &self.results);
        let forms = self.results_write.as_ref();
        put(
            &mut results.write,
            &forms.map(|kinds| kinds.iter().map(|kind| kind.form()).collect()),
        );
        put_some(&mut hl7.to, &self.hl7);
        put_some(&mut pacs.to, &self.pacs);
        let sinks = [
            (results.folder.is_some(), &mut results.deidentify),
            (hl7.to.is_some(), &mut hl7.deidentify),
            (pacs.to.is_some(), &mut pacs.deidentify),
        ];
        for (_, deidentify) in sinks.into_iter().filter(|(is_asked_for, _)| *is_asked_for) {
            *deidentify |= self.deidentify;
        }
    }
}

fn put<T: Clone>(place: &mut T, said: &Option<T>) {
    if let Some(said) = said {
        place.clone_from(said);
    }
}

fn put_some<T: Clone>(place: &mut Option<T>, said: &Option<T>) {
    if said.is_some() {
        place.clone_from(said);
    }
}

fn language(code: &str) -> Result<Language, String> {
    Language::of_code(code).ok_or_else(|| format!("there are {}", language_codes()))
}

fn language_help() -> String {
    let (codes, usual) = (language_codes(), Language::default().code());
    format!("Language of the displays: {codes}; {usual} where nothing says otherwise")
}
