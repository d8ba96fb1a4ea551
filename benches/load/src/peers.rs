//! What stands beside bkg in the report: others in front of the same upstream, from their PyPI
//! packages, with nothing that leaves the machine.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::{
    gateway::{answers, free_address},
    process::{Process, Start},
    target::Target,
};

/// Where the others are and where they run.
pub struct Peers<'a> {
    /// The Python of the environment that they are installed in.
    pub python: &'a Path,
    /// A folder for their files.
    pub folder: &'a Path,
    /// The core that they may use.
    pub core: &'a str,
    /// What they stand in front of.
    pub upstream: SocketAddr,
}

impl Peers<'_> {
    /// Starts those that can be started.
    pub fn start(&self) -> Vec<Target> {
        let started = [
            ("TensorZero", self.tensorzero()),
            ("LiteLLM", self.litellm()),
        ];
        let told = |(name, started): (&str, Result<Target, String>)| {
            let told = started.inspect_err(|error| eprintln!("load: without {name}: {error}"));
            told.ok()
        };
        started.into_iter().filter_map(told).collect()
    }

    /// The proxy with one worker and a master key that it checks, and without a database: it
    /// neither accounts for usage nor limits anything.
    fn litellm(&self) -> Result<Target, String> {
        let folder = self.own_folder("litellm");
        let upstream = self.upstream;
        let model = |name: &str| {
            format!(
                "  - model_name: {name}\n    litellm_params:\n      model: openai/{name}\n      \
                 api_base: http://{upstream}/v1\n      api_key: none\n"
            )
        };
        let config = format!(
            "model_list:\n{}{}general_settings:\n  master_key: sk-load\nlitellm_settings:\n  \
             telemetry: false\n  num_retries: 0\n",
            model("fast"),
            model("paced")
        );
        fs::write(folder.join("config.yaml"), config).unwrap();
        let address = free_address();
        let port = address.port().to_string();
        let program = self.python.with_file_name("litellm");
        let command = [
            &*program.to_string_lossy(),
            "--config=config.yaml",
            "--host=127.0.0.1",
            "--port",
            &port,
            "--num_workers=1",
            "--telemetry=False",
        ];
        let env = [
            ("LITELLM_LOCAL_MODEL_COST_MAP", "True"),
            ("LITELLM_TELEMETRY", "False"),
            ("LITELLM_LOG", "ERROR"),
            ("LITELLM_MODE", "PRODUCTION"),
            ("DISABLE_ADMIN_UI", "True"),
        ];
        let mut process = self.run(&folder, &command, &env);
        process.wait(|_| answers(address, "/health/liveliness").then_some(()))?;
        Ok(Target {
            name: "LiteLLM",
            address,
            prefix: "",
            path: "/v1/chat/completions",
            key: Some("sk-load".to_owned()),
            ready: process.started.elapsed(),
            process: Some(process),
        })
    }

    /// Its package has no program for the gateway, but the library starts the same HTTP gateway
    /// within a Python process, which then only waits. Without its databases it checks no key,
    /// accounts for nothing and limits nothing.
    fn tensorzero(&self) -> Result<Target, String> {
        let folder = self.own_folder("tensorzero");
        let upstream = self.upstream;
        let model = |name: &str| {
            format!(
                "[models.{name}]\nrouting = [\"load\"]\n[models.{name}.providers.load]\n\
                 type = \"openai\"\nmodel_name = \"{name}\"\n\
                 api_base = \"http://{upstream}/v1/\"\napi_key_location = \"none\"\n"
            )
        };
        let config = format!(
            "[gateway]\ndisable_pseudonymous_usage_analytics = true\n\
             [gateway.observability]\nenabled = false\n{}{}",
            model("fast"),
            model("paced")
        );
        fs::write(folder.join("config.toml"), config).unwrap();
        fs::write(folder.join("gateway.py"), include_str!("../tensorzero.py")).unwrap();
        let python = self.python.to_string_lossy();
        let mut process = self.run(&folder, &[&*python, "gateway.py", "config.toml"], &[]);
        let address = process.wait(|process| {
            let log = process.read_log();
            let (_, rest) = log.split_once("listening on http://")?;
            rest.split_once("/openai/v1\n")?.0.parse().ok()
        })?;
        Ok(Target {
            name: "TensorZero",
            address,
            prefix: "tensorzero::model_name::",
            path: "/openai/v1/chat/completions",
            key: None,
            ready: process.started.elapsed(),
            process: Some(process),
        })
    }

    fn own_folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn run(&self, folder: &Path, command: &[&str], env: &[(&str, &str)]) -> Process {
        let home = folder.display().to_string();
        let mut all = vec![("HOME".to_owned(), home)];
        all.extend(
            env.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        Process::start(&Start {
            command: command.iter().map(Into::into).collect(),
            env: all,
            folder,
            core: Some(self.core),
        })
    }
}
