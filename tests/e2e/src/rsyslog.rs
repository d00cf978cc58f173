//! Debian's rsyslog, as a server on a high port that any user may run.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use crate::log::LONG;
use crate::{Folder, debian, wait_for};

pub struct Rsyslog {
    folder: Folder,
    pub port: u16,
    server: Option<Child>,
}

/// How a message came.
pub enum By {
    Tcp,
    Udp,
}

impl Rsyslog {
    /// Is not started yet.
    pub fn new(by: By) -> Self {
        let folder = Folder::new("rsyslog");
        // Nobody else gets it in the meantime who asks for any port.
        let socket = UdpSocket::bind("127.0.0.1:0").expect("there is a port");
        let port = socket.local_addr().expect("it is bound").port();
        let module = match by {
            By::Tcp => "imtcp",
            By::Udp => "imudp",
        };
        let out = folder.join("said");
        // Each message is written before the next one is looked at.
        let configuration = format!(
            "global(workDirectory=\"{}\" maxMessageSize=\"70k\")\n\
             main_queue(queue.type=\"Direct\")\n\
             module(load=\"{module}\")\n\
             input(type=\"{module}\" address=\"127.0.0.1\" port=\"{port}\")\n\
             template(name=\"plain\" type=\"string\" string=\"%pri% %timestamp:::date-rfc3339% \
             %hostname% %app-name% %procid% %msgid% %structured-data% %msg%\\n\")\n\
             action(type=\"omfile\" file=\"{}\" template=\"plain\" asyncWriting=\"off\" flushOnTXEnd=\"on\")\n",
            folder.path().display(),
            out.display(),
        );
        folder.write("conf", configuration);
        Self { folder, port, server: None }
    }

    pub fn start(&mut self) {
        let mut server = debian("/usr/sbin/rsyslogd");
        server.arg("-n").arg("-f").arg(self.folder.join("conf"));
        server.arg("-i").arg(self.folder.join("pid")).stdin(Stdio::null());
        let _ = std::fs::remove_file(self.folder.join("pid"));
        self.server = Some(server.spawn().expect("rsyslogd runs"));
        let own = format!(":{:04X}", self.port);
        let listens = || {
            let lists =
                ["tcp", "udp"].map(|kind| std::fs::read_to_string(format!("/proc/net/{kind}")));
            let lists = lists.into_iter().flatten().collect::<String>();
            let mut sockets = lists.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            // Listening, or a socket for datagrams that is not connected.
            sockets
                .any(|words| words[1].ends_with(&own) && ["0A", "07"].contains(&words[3]))
                .then_some(())
        };
        wait_for("rsyslogd", LONG, listens);
    }

    /// Ends it in good order.
    pub fn end(&mut self) {
        if let Some(mut server) = self.server.take() {
            crate::process::send("TERM", server.id());
            server.wait().expect("it is our child");
        }
    }

    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().expect("it is our child");
            server.wait().expect("it is our child");
        }
    }

    pub fn tcp(&self) -> String {
        format!("syslog+tcp://127.0.0.1:{}", self.port)
    }

    pub fn udp(&self) -> String {
        format!("syslog+udp://127.0.0.1:{}", self.port)
    }

    pub fn output(&self) -> PathBuf {
        self.folder.join("said")
    }

    /// What it was told so far, whole lines.
    pub fn said(&self) -> Vec<String> {
        let text = std::fs::read(self.output()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        text[..whole].lines().map(str::to_owned).collect()
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        self.kill();
    }
}
