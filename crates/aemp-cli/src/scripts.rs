//! Scripts, where the configuration asks for them and this command was built with them.

use aemp::{Builder, Node};
use aemp_config::Settings;

use crate::failure::Failure;

/// The scripts of a node: none unless `scripts` or `script_eval` is set.
#[derive(Default)]
pub(crate) struct Scripting {
    #[cfg(feature = "scripts")]
    scripts: Option<aemp_script::Scripts>,
    #[cfg(feature = "scripts")]
    eval: bool,
    /// Services that are modules, to be loaded when the node has started.
    modules: Vec<String>,
}

#[cfg(feature = "scripts")]
impl Scripting {
    /// What the settings ask for.
    pub(crate) fn of(settings: &Settings) -> Result<Scripting, Failure> {
        let mut limits = aemp_script::Limits::default();
        for limit in &settings.script_limits {
            limits.set(limit).map_err(Failure::configuration)?;
        }
        let path: Vec<std::path::PathBuf> = settings.scripts.iter().map(Into::into).collect();
        if let Some(missing) = path.iter().find(|folder| !folder.is_dir()) {
            return Err(Failure::configuration(format!("scripts: there is no folder {}", missing.display())));
        }
        if path.is_empty() && !settings.script_eval {
            return Ok(Scripting::default());
        }
        let scripts = aemp_script::Scripts::measured(path, limits, crate::memory::allocated);
        Ok(Scripting { scripts: Some(scripts), eval: settings.script_eval, modules: Vec::new() })
    }

    /// Whether a service is the name of a function in a script.
    pub(crate) fn knows(&self, service: &str) -> bool {
        self.scripts.as_ref().is_some_and(|scripts| scripts.knows(service))
    }

    /// Lets the node find functions in scripts, and evaluate, as far as that is asked for.
    pub(crate) fn install(&self, mut builder: Builder) -> Builder {
        let Some(scripts) = &self.scripts else { return builder };
        if self.eval {
            builder = builder.evaluate(scripts.clone());
        }
        builder.function_resolver(scripts.clone())
    }

    /// Loads the services that are modules; what is wrong with one of them ends the start.
    pub(crate) fn load(&self, node: &Node) -> Result<(), Failure> {
        let Some(scripts) = &self.scripts else { return Ok(()) };
        self.modules.iter().try_for_each(|module| scripts.load(node, module).map_err(Failure::failed))
    }
}

#[cfg(not(feature = "scripts"))]
impl Scripting {
    pub(crate) fn of(settings: &Settings) -> Result<Scripting, Failure> {
        if settings.scripts.is_empty() && !settings.script_eval {
            return Ok(Scripting::default());
        }
        Err(Failure::configuration("scripts: this command was built without scripts"))
    }

    pub(crate) fn knows(&self, _service: &str) -> bool {
        false
    }

    pub(crate) fn install(&self, builder: Builder) -> Builder {
        builder
    }

    pub(crate) fn load(&self, _node: &Node) -> Result<(), Failure> {
        Ok(())
    }
}

impl Scripting {
    /// Takes the services that are modules out of the settings.
    pub(crate) fn take_modules(&mut self, settings: &mut Settings) {
        let is_module = |name: &str| name.ends_with("::") && self.knows(name);
        let (modules, others) = settings.services.drain(..).partition(|service| is_module(&service.function));
        settings.services = others;
        self.modules = modules.into_iter().map(|service: aemp_config::Service| service.function).collect();
    }
}

/// Evaluates scripts for the user of this command, no matter what the settings say of other nodes.
/// None if it was built without.
pub(crate) fn own_evaluator() -> Option<Box<dyn aemp::Evaluate>> {
    #[cfg(feature = "scripts")]
    return Some(Box::new(aemp_script::Scripts::measured(
        [],
        aemp_script::Limits::default(),
        crate::memory::allocated,
    )));
    #[cfg(not(feature = "scripts"))]
    None
}
