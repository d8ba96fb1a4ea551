//! The roster: every plugin that is compiled in or named in `plugins.json`, checked.

use std::{collections::BTreeSet, fmt};

use messages::{fault::Fault, plugin::Status};

use crate::{
    baseline::{Baseline, Entry},
    configuration::Overrides,
    order::{Needs, circle, start_order},
    registry::{Registration, Registry},
    root::Keep,
    ward::{Startable, Ward},
};

/// All wards, in the order in which they are listed.
pub(crate) struct Roster {
    wards: Vec<Ward>,
    needs: Needs,
    keep: Keep,
}

impl fmt::Debug for Roster {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.wards.iter().map(Ward::name);
        out.debug_list().entries(names).finish()
    }
}

impl Roster {
    pub(crate) fn new(
        registry: Registry,
        baseline: Baseline,
        mut overrides: Overrides,
        keep: Keep,
    ) -> Self {
        note_unknown_fields(&baseline);
        let Registry { directory, plugins } = registry;
        let file = baseline.file.clone();
        let check = Check::new(&plugins, baseline);
        let mut wards = Vec::new();
        for name in check.names() {
            let kept = overrides.remove(&name).unwrap_or_default();
            let ward = Ward::new(&name, &directory, &file, check.startable(&name), kept);
            directory.add_gate(ward.gate().clone());
            wards.push(ward);
        }
        for name in overrides.keys() {
            log::warn!("an operator's settings for {name} are kept, but there is no such plugin");
        }
        let needs = check.needs();
        Self { wards, needs, keep }
    }

    pub(crate) fn ward(&self, name: &str) -> Result<&Ward, Fault> {
        let ward = self.wards.iter().find(|ward| ward.name() == name);
        ward.ok_or_else(|| {
            Fault::unknown(format!("there is no plugin `{name}`")).with_param("name")
        })
    }

    pub(crate) fn keep(&self) -> &Keep {
        &self.keep
    }

    /// Those to start, each after what it needs.
    pub(crate) fn to_start(&self, only: Option<&[String]>) -> Vec<&Ward> {
        let order = match only {
            Some(only) => {
                for name in only.iter().filter(|name| self.ward(name).is_err()) {
                    log::error!("there is no plugin `{name}` to start");
                }
                start_order(&self.needs, only)
            }
            None => self.order(),
        };
        let wards = order.iter().filter_map(|name| self.ward(name).ok());
        wards
            .filter(|ward| only.is_some() || ward.autostarts())
            .filter(|ward| ward.gate().state().reason.is_none())
            .collect()
    }

    /// Those to stop, each before what it needs.
    pub(crate) fn to_stop(&self) -> Vec<&Ward> {
        let order = self.order();
        let wards = order.iter().rev();
        wards.filter_map(|name| self.ward(name).ok()).collect()
    }

    fn order(&self) -> Vec<String> {
        let all: Vec<String> = self.wards.iter().map(|w| w.name().to_owned()).collect();
        start_order(&self.needs, &all)
    }

    pub(crate) fn warn_dependants(&self, name: &str) {
        let needing = self
            .needs
            .iter()
            .filter(|(_, needs)| needs.iter().any(|n| n == name));
        for (dependant, _) in needing {
            let gate = self.ward(dependant).map(|ward| ward.gate().status());
            if gate == Ok(Status::Running) {
                log::warn!(target: name, "is stopped although {dependant} needs it");
            }
        }
    }
}

fn note_unknown_fields(baseline: &Baseline) {
    for field in &baseline.unknown {
        log::error!(
            "{}: nobody knows the field `{field}`; it is ignored",
            baseline.file
        );
    }
}

/// Holds the baseline against what is compiled in.
struct Check<'a> {
    plugins: &'a [Registration],
    baseline: Baseline,
}

impl<'a> Check<'a> {
    fn new(plugins: &'a [Registration], baseline: Baseline) -> Self {
        Self { plugins, baseline }
    }

    /// The compiled-in plugins, then whatever else the baseline names.
    fn names(&self) -> Vec<String> {
        let built_in = self.plugins.iter().map(|plugin| plugin.name.to_owned());
        let mut names: Vec<String> = built_in.collect();
        let known: BTreeSet<String> = names.iter().cloned().collect();
        let strange = self
            .baseline
            .plugins
            .keys()
            .filter(|name| !known.contains(*name));
        names.extend(strange.cloned());
        names
    }

    fn needs(&self) -> Needs {
        let needs = |name: String| {
            let entry = self
                .baseline
                .plugins
                .get(&name)
                .and_then(|e| e.as_ref().ok());
            let needs = entry.map(|entry| entry.needs.clone()).unwrap_or_default();
            (name, needs)
        };
        self.names().into_iter().map(needs).collect()
    }

    fn startable(&self, name: &str) -> Result<Startable, String> {
        let registration = self.plugins.iter().find(|plugin| plugin.name == name);
        let registration = registration
            .ok_or("no plugin of this name is built in")?
            .clone();
        let entry = match self.baseline.plugins.get(name) {
            Some(entry) => entry.clone()?,
            None => Entry::absent(),
        };
        let known = self.needs();
        if let Some(need) = entry.needs.iter().find(|need| !known.contains_key(*need)) {
            return Err(format!("it needs `{need}`, and there is no such plugin"));
        }
        if let Some(circle) = circle(&known, name) {
            return Err(format!("its needs go round in a circle: {circle}"));
        }
        let served = &registration.capabilities;
        if let Some(strange) = entry
            .capabilities
            .iter()
            .find(|name| !served.contains(name))
        {
            let served = served.join(", ");
            return Err(format!("it does not serve `{strange}`; it serves {served}"));
        }
        Ok(Startable {
            registration,
            entry,
        })
    }
}
