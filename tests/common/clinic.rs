//! A device with all its sources: a console, the control socket, a watched folder and a serial
//! link; its results lie in a folder. What is given to it and what it answers is held together
//! by the SHA-256 of the images.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use firmware_host::message::{self, Report, Request};
use medfocus::client::{Client as LinkClient, Heard};
use medfocus::sha256::Sha256;
use serde_json::{Value, json};

use super::cable::{Cable as LinkCable, GOOD};
use super::console::Cable;
use super::device::{Device, PATIENCE};
use super::{phantom, starter};

/// Of the pseudo-terminals of the link.
const BAUD: u32 = 4_000_000;

/// The device and whatever is plugged in.
pub struct Clinic {
    pub home: tempfile::TempDir,
    pub device: Device,
    pub console: Cable,
    _link: LinkCable,
    more: String,
}

impl Clinic {
    /// A device with more lines of configuration.
    pub fn open(more: &str) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(home.path().join("in")).expect("a folder");
        let link = LinkCable::lay(home.path(), GOOD);
        let (device, console) = switch_on(home.path(), more, None);
        Self {
            home,
            device,
            console,
            _link: link,
            more: more.to_owned(),
        }
    }

    /// As if the power failed and came back.
    pub fn restart(&mut self) {
        self.restart_with(&self.more.clone(), None);
    }

    /// The same, with another configuration and bundle from now on.
    pub fn restart_with(&mut self, more: &str, bundle: Option<&Path>) {
        self.more = more.to_owned();
        self.device.kill();
        (self.device, self.console) = switch_on(self.home.path(), more, bundle);
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Puts a file into the watched folder as a careful writer does: whole.
    pub fn drop_in(&self, name: &str, bytes: &[u8]) {
        let part = self.at("part");
        std::fs::write(&part, bytes).expect("written");
        std::fs::rename(part, self.at("in").join(name)).expect("moved");
    }

    pub fn client(&self) -> Client {
        let begin = Instant::now();
        loop {
            if let Ok(stream) = UnixStream::connect(self.at("state/medfocus.sock")) {
                stream.set_read_timeout(Some(PATIENCE)).expect("set");
                return Client(BufReader::new(stream));
            }
            assert!(begin.elapsed() < PATIENCE, "{}", self.device.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A host at the other end of the link; one that tells no identity is of before.
    pub fn host(&self, identity: Option<u64>) -> Host {
        let port = self.at("left").display().to_string();
        // A child that another test is just starting holds the last host's port until it runs its
        // own program.
        let begin = Instant::now();
        let client = loop {
            match LinkClient::open(&port, BAUD, PATIENCE) {
                Ok(client) => break client,
                Err(error) => assert!(begin.elapsed() < PATIENCE, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let mut host = Host {
            client,
            is_told: identity.is_some(),
        };
        while !matches!(host.client.hear(), Ok(Heard::Opened)) {}
        if let Some(identity) = identity {
            assert!(host.client.say(&Request::Client { identity }));
        }
        host
    }

    /// The answer of a case, once there is one.
    pub fn answer(&self, case: u64) -> Value {
        let begin = Instant::now();
        loop {
            let waited = self.client().ask(&json!({ "do": "wait", "case": case }));
            if !waited["record"].is_null() {
                return waited["record"].clone();
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "{waited}: {}",
                self.device.log()
            );
        }
    }

    /// Waits until a case was accepted after so many others.
    pub fn wait_for_accepted(&self, count: usize) {
        let is_so = || self.device.journal("accepted").len() >= count;
        self.wait_until(&format!("{count} accepted"), is_so);
    }

    pub fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let begin = Instant::now();
        while !is_so() {
            assert!(begin.elapsed() < PATIENCE, "{what}: {}", self.device.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn switch_on(home: &Path, more: &str, bundle: Option<&Path>) -> (Device, Cable) {
    let console = Cable::plug(&home.join("port"));
    let config = format!(
        "{more}\n[[serial]]\nport = \"{}\"\n[[serial]]\nport = \"{}\"\nbaud = {BAUD}\n\
         [[folder]]\npath = \"{}\"\nexam = \"brain4\"\nsettle_s = 0\npoll_s = 1\n\
         [results]\nfolder = \"{}\"\nwrite = []\n",
        home.join("port").display(),
        home.join("right").display(),
        home.join("in").display(),
        home.join("results").display(),
    );
    std::fs::write(home.join("medfocus.toml"), &config).expect("a file");
    let mut command = Device::command(home, &[], BAUD, &["--config"]);
    command.arg(home.join("medfocus.toml"));
    command.arg("--bundle");
    command.arg(bundle.map_or_else(starter, Path::to_owned));
    let device = Device::start_as(home, &["port", "right"], command);
    (device, console)
}

/// A client of the control socket, with nothing but a socket and JSON.
pub struct Client(BufReader<UnixStream>);

impl Client {
    pub fn ask(&mut self, request: &Value) -> Value {
        self.send(request, &[])
    }

    /// Submits an image; `more` are further keys.
    pub fn submit(&mut self, image: &[u8], more: &Value) -> Value {
        let sha256 = Sha256::of(image).to_string();
        let mut request = json!({ "do": "submit", "size": image.len(), "sha256": sha256 });
        let keys = more.as_object().expect("keys").clone();
        request.as_object_mut().expect("an object").extend(keys);
        self.send(&request, image)
    }

    fn send(&mut self, request: &Value, bytes: &[u8]) -> Value {
        let stream = self.0.get_mut();
        stream
            .write_all(format!("{request}\n").as_bytes())
            .expect("sent");
        stream.write_all(bytes).expect("sent");
        let mut line = String::new();
        self.0.read_line(&mut line).expect("an answer");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"))
    }
}

/// A host on the link.
pub struct Host {
    client: LinkClient,
    is_told: bool,
}

impl Host {
    /// Sends an image and asks for a case; the case, or the number and text of the refusal.
    pub fn run(&mut self, request: u64, image: &[u8], exam: &str) -> Result<u64, (i16, String)> {
        let sha256 = Sha256::of(image).0;
        let size = image.len() as u32;
        self.say(&Request::Put {
            image: sha256,
            size,
        });
        let offset = self.hear(|report| match report {
            Report::Stored { .. } => Some(image.len()),
            Report::Wanted { offset, .. } => Some(*offset as usize),
            _ => None,
        });
        for (at, bytes) in image[offset..].chunks(message::CHUNK_LENGTH).enumerate() {
            let offset = (offset + at * message::CHUNK_LENGTH) as u32;
            self.say(&Request::Chunk { offset, bytes });
        }
        if offset < image.len() {
            self.hear(|report| matches!(report, Report::Stored { .. }).then_some(()));
        }
        self.say(&Request::Run {
            request,
            image: sha256,
            exam: Some(exam),
            region: None,
        });
        self.hear(|report| match report {
            Report::Accepted { request: r, case } if *r == request => Some(Ok(*case)),
            Report::Refused {
                request: Some(r),
                number,
                text,
            } if *r == request => Some(Err((*number, (*text).to_owned()))),
            _ => None,
        })
    }

    /// The image that the device says an answer is about, which it must say before it.
    pub fn image_of_answer(&mut self, case: u64) -> Option<Sha256> {
        let mut about = None;
        self.hear(|report| match report {
            Report::About { case: c, image } if *c == case => {
                about = Some(Sha256(*image));
                None
            }
            Report::Finding { case: c, .. } | Report::Refusal { case: c, .. } if *c == case => {
                Some(())
            }
            _ => None,
        });
        assert_eq!(
            about.is_some(),
            self.is_told,
            "said to those who told who they are"
        );
        self.say(&Request::Taken { case });
        about
    }

    /// Ends the link, once the device has all that was said.
    pub fn close(mut self) {
        let begin = Instant::now();
        while !self.client.is_settled() && begin.elapsed() < PATIENCE {
            let _ = self.client.hear();
        }
        self.client.close();
    }

    fn say(&mut self, request: &Request<'_>) {
        let begin = Instant::now();
        while !self.client.say(request) {
            self.client.hear().expect("a device");
            assert!(begin.elapsed() < PATIENCE, "no room");
        }
    }

    fn hear<T>(&mut self, mut is_it: impl FnMut(&Report<'_>) -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            let heard = self.client.hear().expect("a device");
            if let Some(found) = heard.report().as_ref().and_then(&mut is_it) {
                return found;
            }
            assert!(begin.elapsed() < PATIENCE, "the device does not say it");
        }
    }
}

/// A brain phantom that no other number gives: one pixel tells them apart.
pub fn image(number: u8) -> Vec<u8> {
    let mut picture = image::open(phantom("brain.png"))
        .expect("a phantom")
        .to_luma8();
    picture.put_pixel(0, 0, image::Luma([100 + number]));
    let mut file = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut file, image::ImageFormat::Png)
        .expect("written");
    file.into_inner()
}

/// The same without compression: all have the same length.
pub fn raw_image(number: u8) -> Vec<u8> {
    let picture = image::load_from_memory(&image(number)).expect("an image");
    let mut file = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut file, image::ImageFormat::Bmp)
        .expect("written");
    file.into_inner()
}

/// What an answer says it is about.
pub fn hash(bytes: &[u8]) -> Value {
    Sha256::of(bytes).to_string().into()
}
