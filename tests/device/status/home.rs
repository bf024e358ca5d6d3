//! A device that something is made wrong with: everything that hangs on it, and the programs of
//! whoever looks after it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::cable::{Cable as LinkCable, GOOD};
use crate::common::console::Cable;
use crate::common::device::{Device, PATIENCE};
use crate::common::{copy_of_starter, phantom, root};
use serde_json::Value;

/// A kind of trouble.
pub struct Case {
    pub name: &'static str,
    pub code: &'static str,
    /// What `submit` says: the device may refuse before there is a case.
    pub client_code: &'static str,
    pub state: &'static str,
    /// Lines of its configuration.
    pub config: &'static str,
    /// Lines of its watched folder; IN stands for the folder's path.
    pub folder: &'static str,
    /// Whether the state folder lies on a small disk of its own.
    pub on_small_disk: bool,
    /// Whether the clock was never set.
    pub is_in_1970: bool,
    /// Makes the trouble on a device that is well.
    pub make: fn(&Home, &mut Bench),
}

pub const WELL: Case = Case {
    name: "",
    code: "",
    client_code: "",
    state: "ready",
    config: "",
    folder: "",
    on_small_disk: false,
    is_in_1970: false,
    make: |_, _| (),
};

/// A folder for everything.
pub struct Home {
    pub folder: tempfile::TempDir,
    pub bundle: tempfile::TempDir,
}

/// A device and all that hangs on it.
pub struct Bench {
    pub device: Device,
    pub console: Cable,
    pub _link: LinkCable,
}

impl Home {
    pub fn new() -> Self {
        let home = Self {
            folder: tempfile::tempdir().unwrap(),
            bundle: copy_of_starter(),
        };
        for folder in ["in", "run", "state"] {
            std::fs::create_dir(home.at(folder)).unwrap();
        }
        home
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn start(&self, case: &Case) -> Bench {
        let console = Cable::plug(&self.at("port"));
        let link = LinkCable::lay(self.folder.path(), GOOD);
        let at = |name: &str| self.at(name).display().to_string();
        let config = format!(
            "{}\n[[serial]]\nport = \"{}\"\n[[serial]]\nport = \"{}\"\nbaud = 4000000\n\
             [[folder]]\npath = \"{}\"\nexam = \"brain4\"\nsettle_s = 0\npoll_s = 1\n{}\
             [health]\nmetrics = \"{}\"\n[socket]\npath = \"{}\"\n[[display]]\nplace = \"png:{}\"\n",
            case.config,
            at("port"),
            at("right"),
            at("in"),
            case.folder.replace("IN", &at("in")),
            at("metrics.prom"),
            at("socket"),
            at("pictures"),
        );
        std::fs::write(self.at("medfocus.toml"), config).unwrap();
        let file = at("medfocus.toml");
        let options = ["--config", &file, "--bundle"];
        let mut serve = Device::command(self.folder.path(), &[], 115_200, &options);
        serve.arg(self.bundle.path());
        let mut command = match case.on_small_disk {
            true => on_small_disk(&serve, &self.at("state")),
            false => serve,
        };
        command.env("RUNTIME_DIRECTORY", self.at("run"));
        if case.is_in_1970 {
            command.env("LD_PRELOAD", clock_of_1970(self.folder.path()));
        }
        let device = Device::start_as(self.folder.path(), &["port", "right"], command);
        Bench {
            device,
            console,
            _link: link,
        }
    }

    /// Runs the program as whoever looks after this device.
    pub fn medfocus(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_medfocus"));
        command.env("RUNTIME_DIRECTORY", self.at("run"));
        command.current_dir(root()).args(arguments);
        command.output().unwrap()
    }

    pub fn health(&self) -> Output {
        self.medfocus(&["health", "--state", &self.at("state").display().to_string()])
    }

    pub fn state_file(&self) -> Value {
        let bytes = std::fs::read(self.at("run/health.json")).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    pub fn status_by_socket(&self) -> Value {
        let mut stream = UnixStream::connect(self.at("socket")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"{\"do\":\"status\"}\n").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    pub fn submit(&self, more: &[&str]) -> Output {
        let (image, socket) = (phantom("brain.png"), self.at("socket"));
        let [image, socket] = [image, socket].map(|path| path.display().to_string());
        let wait = [
            "submit", &image, "--wait", "--exam", "brain4", "--socket", &socket,
        ];
        self.medfocus(&[&wait[..], more].concat())
    }

    pub fn link(&self, more: &[&str]) -> Output {
        let port = self.at("left").display().to_string();
        self.medfocus(&[&["link", &port, "--baud", "4000000"], more].concat())
    }
}

/// Mounts a small disk over the folder `$0` and runs the rest on it.
pub const ON_A_SMALL_DISK: &str = "\
set -e
mount -t tmpfs -o size=16m tmpfs \"$0\"
exec \"$@\"";
pub const IN_A_NAMESPACE: [&str; 3] = ["--user", "--map-root-user", "--mount"];

pub fn on_small_disk(serve: &Command, over: &Path) -> Command {
    mounted(ON_A_SMALL_DISK, serve, over)
}

/// Mounts a file system over the folder `$0` that answers nothing, as a share whose server is gone:
/// its server would be whoever has descriptor 3. Runs the rest.
const ON_A_HUNG_SHARE: &str = "\
set -e
exec 3<>/dev/fuse
mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 hung \"$0\"
exec \"$@\"";

pub fn on_hung_share(serve: &Command, over: &Path) -> Command {
    mounted(ON_A_HUNG_SHARE, serve, over)
}

fn mounted(script: &str, serve: &Command, over: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(IN_A_NAMESPACE);
    command.args(["sh", "-c", script]).arg(over);
    command.arg(serve.get_program()).args(serve.get_args());
    command.current_dir(serve.get_current_dir().unwrap());
    command
}

/// Whether this system lets a test mount a disk of its own.
pub fn may_mount() -> bool {
    let mut command = Command::new("unshare");
    command.args(IN_A_NAMESPACE);
    command.args(["sh", "-c", "mount -t tmpfs tmpfs /tmp"]);
    command.output().is_ok_and(|output| output.status.success())
}

/// A clock as that of a board without a battery: a library that a program loads before its own.
pub fn clock_of_1970(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    let code = "\
#define _GNU_SOURCE
#include <time.h>
#include <sys/syscall.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *to) {
  if (clock == CLOCK_REALTIME) clock = CLOCK_BOOTTIME, syscall(SYS_clock_gettime, clock, to), to->tv_sec %= 100000;
  else return syscall(SYS_clock_gettime, clock, to);
  return 0;
}
";
    std::fs::write(&source, code).unwrap();
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let built = Command::new(compiler)
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    assert!(built.unwrap().success());
    library
}
