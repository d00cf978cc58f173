//! A device with services in namespaces of its own: its `/sys` shows only its own network
//! devices.

use std::process::Command;

use crate::client::Client;
use crate::device::{Device, PATIENCE};
use crate::{applet, wait_for};

pub struct House(Device);

impl std::ops::Deref for House {
    type Target = Device;
    fn deref(&self) -> &Device {
        &self.0
    }
}

impl House {
    pub fn new(what: &str) -> Self {
        Self(Device::new(what))
    }

    /// A controller of these services, each with what concerns it.
    pub fn controller(
        &self,
        kind: &str,
        name: &str,
        own: &str,
        controls: &[(&str, &str)],
    ) -> &Self {
        let live = self.live();
        let run = format!("#!/bin/sh\nexec ward {kind} -l {} {name} 2>&1\n", live.display());
        self.set(name, "type", "longrun\n").set(name, "run", &run);
        self.set(name, "controller", &format!("kind {kind}\n{own}"));
        self.set(name, "notification-fd", "3\n");
        for (service, text) in controls {
            self.set(name, &format!("controls.d/{service}"), text);
        }
        self
    }

    /// Boots, after these lines of a shell script inside.
    pub fn boot(&self, before: &str) -> &Self {
        let database = self.compile();
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "--net", "/bin/sh", "-ec"]);
        command.arg(format!(
            "mount -t sysfs sysfs /sys
             {before}
             exec \"$@\""
        ));
        command.arg("sh").arg(applet("init").get_program());
        self.init_words(&mut command, &database);
        self.run(command);
        self.wait_booted();
        self
    }

    /// A program inside.
    pub fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--user", "--preserve-credentials", "--net", "--mount", "--target"]);
        command.arg(self.init_pid().to_string()).arg(program);
        command
    }

    pub fn ip(&self, words: &str) {
        Client::run(self.inside("ip").args(words.split(' '))).expect(0);
    }

    pub fn wait_up(&self, service: &str, up: bool) {
        let is = || self.up().iter().any(|name| name == service);
        wait_for(&format!("{service} up: {up}"), PATIENCE, || (is() == up).then_some(()));
    }

    /// What a service has published under this name.
    pub fn output(&self, service: &str, name: &str) -> Option<String> {
        let folder = self.join("services/outputs-live").join(service);
        std::fs::read_to_string(folder.join(name)).ok()
    }

    pub fn wait_output(&self, service: &str, name: &str, value: Option<&str>) {
        let what = format!("{service}'s {name} {value:?}");
        let is = || (self.output(service, name).as_deref() == value).then_some(());
        wait_for(&what, PATIENCE, is);
    }
}
