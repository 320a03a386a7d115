//! The contestants, built and installed on the spot: the function, its floors, and the same job in Python and Node.js.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{authority::Authority, bootstrap, lambda::Bootstrap};

/// Something that does the job, or nothing, as a Lambda function.
#[derive(Clone, Debug)]
pub struct Contestant {
    pub name: &'static str,
    pub bootstrap: Bootstrap,
    /// True if it refreshes a secret; the others only start.
    pub works: bool,
    /// The unpacked size of the deployed files, in bytes.
    pub size: Option<u64>,
    /// The same as a zip file.
    pub zip: Option<u64>,
}

/// The directories that the benchmark works in.
pub struct Places {
    pub root: PathBuf,
    target: PathBuf,
    pub work: PathBuf,
}

impl Places {
    pub fn find() -> Result<Self, Box<dyn Error>> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let target = bootstrap::target()?;
        let work = target.join("cold_start");
        fs::create_dir_all(&work)?;
        Ok(Self { root, target, work })
    }

    /// The function as it is deployed: the one that `BOOTSTRAP` names, or a release build.
    pub fn function(&self, authority: &Authority) -> Result<Contestant, Box<dyn Error>> {
        let binary = bootstrap::find(&self.target)?;
        self.binary("this function", &binary, authority, true)
    }

    pub fn floors(&self, authority: &Authority) -> Result<[Contestant; 2], Box<dyn Error>> {
        let examples = ["--example", "floor_bare", "--example", "floor_hello"];
        self.cargo(&[&["build", "--quiet", "--locked", "--release"][..], &examples[..]].concat())?;
        let directory = self.target.join("release/examples");
        let hello = Contestant {
            name: "hello world",
            bootstrap: Bootstrap { command: vec![text(&directory.join("floor_hello"))], variables: Vec::new() },
            works: false,
            size: Some(fs::metadata(directory.join("floor_hello"))?.len()),
            zip: Some(self.zip(&directory.join("floor_hello"))?),
        };
        Ok([hello, self.binary("the job by hand", &directory.join("floor_bare"), authority, true)?])
    }

    fn binary(
        &self,
        name: &'static str,
        binary: &Path,
        authority: &Authority,
        works: bool,
    ) -> Result<Contestant, Box<dyn Error>> {
        let file = binary.file_name().ok_or("a binary without a name")?;
        let copy = self.work.join(file);
        authority.copy_trusting(binary, &copy)?;
        Ok(Contestant {
            name,
            bootstrap: Bootstrap { command: vec![text(&copy)], variables: Vec::new() },
            works,
            size: Some(fs::metadata(binary)?.len()),
            zip: Some(self.zip(binary)?),
        })
    }

    /// boto3 and urllib3 under AWS's own runtime client, installed by pip.
    pub fn python(&self, authority: &Authority) -> Result<Contestant, Box<dyn Error>> {
        let (source, site) = (self.root.join("benches/python"), self.work.join("python"));
        let requirements = source.join("requirements.txt");
        Self::once(&site, &requirements, |site| {
            let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-warn-conflicts"];
            let mut pip = Command::new("python3");
            pip.args(install).args(["--root-user-action", "ignore", "--target"]).arg(site);
            run(pip.arg("--requirement").arg(&requirements))
        })?;
        fs::copy(source.join("handler.py"), site.join("handler.py"))?;
        run(Command::new("python3").args(["-m", "compileall", "-q"]).arg(&site))?;
        // The same public roots as everybody loads, and the benchmark's.
        let roots = fs::read_to_string(site.join("botocore/cacert.pem"))? + authority.root();
        let bundle = self.work.join("roots.pem");
        fs::write(&bundle, roots)?;
        let python = output(Command::new("python3").args(["-c", "import sys; print(sys.executable)"]))?;
        let variables = [
            ("PYTHONPATH", &site),
            ("LAMBDA_TASK_ROOT", &site),
            ("AWS_CA_BUNDLE", &bundle),
            ("SSL_CERT_FILE", &bundle),
        ];
        Ok(Contestant {
            name: "Python, boto3",
            bootstrap: Bootstrap {
                command: [python.trim(), "-m", "awslambdaric", "handler.handler"].map(str::to_owned).into(),
                variables: variables.map(|(name, value)| (name.to_owned(), text(value))).into(),
            },
            works: true,
            size: None,
            zip: None,
        })
    }

    /// The AWS SDK v3, bundled by esbuild with a minimal runtime, installed by npm.
    pub fn node(&self, authority: &Authority) -> Result<Contestant, Box<dyn Error>> {
        let (source, modules) = (self.root.join("benches/node"), self.work.join("node"));
        let package = source.join("package.json");
        Self::once(&modules, &package, |modules| {
            fs::copy(&package, modules.join("package.json"))?;
            let install = ["install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"];
            run(Command::new("npm").args(install).current_dir(modules))
        })?;
        for file in ["handler.mjs", "runtime.mjs"] {
            fs::copy(source.join(file), modules.join(file))?;
        }
        let bundle = modules.join("bundle.mjs");
        let options = ["runtime.mjs", "--bundle", "--minify", "--platform=node", "--target=node20", "--format=esm"];
        // The SDK is CommonJS in places and asks for `require`.
        let banner = "--banner:js=import{createRequire}from'node:module';const require=createRequire(import.meta.url);";
        let esbuild = modules.join("node_modules/.bin/esbuild");
        let out = format!("--outfile={}", bundle.display());
        run(Command::new(esbuild).args(options).args(["--log-level=error", banner, &out]).current_dir(&modules))?;
        let root = self.work.join("root.pem");
        fs::write(&root, authority.root())?;
        let node = output(Command::new("node").args(["-p", "process.execPath"]))?;
        Ok(Contestant {
            name: "Node.js, SDK v3",
            bootstrap: Bootstrap {
                command: vec![node.trim().to_owned(), text(&bundle)],
                variables: [("NODE_EXTRA_CA_CERTS", text(&root)), ("NODE_NO_WARNINGS", "1".to_owned())]
                    .map(|(name, value)| (name.to_owned(), value))
                    .into(),
            },
            works: true,
            size: Some(fs::metadata(&bundle)?.len()),
            zip: Some(self.zip(&bundle)?),
        })
    }

    /// Installs into a directory, unless what it was installed from is the same still.
    fn once(
        directory: &Path,
        from: &Path,
        install: impl FnOnce(&Path) -> Result<(), Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        let stamp = directory.with_extension("stamp");
        if fs::read(&stamp).ok() == fs::read(from).ok() && directory.is_dir() {
            return Ok(());
        }
        let _ = fs::remove_dir_all(directory);
        fs::create_dir_all(directory)?;
        install(directory)?;
        fs::copy(from, stamp)?;
        Ok(())
    }

    /// Returns the size of a zip file with this file in it, in bytes.
    fn zip(&self, file: &Path) -> Result<u64, Box<dyn Error>> {
        let zip = self.work.join("size.zip");
        let _ = fs::remove_file(&zip);
        run(Command::new("python3").args(["-m", "zipfile", "-c"]).arg(&zip).arg(file))?;
        Ok(fs::metadata(zip)?.len())
    }

    fn cargo(&self, arguments: &[&str]) -> Result<(), Box<dyn Error>> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        run(Command::new(cargo).args(arguments).current_dir(&self.root))
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn run(command: &mut Command) -> Result<(), Box<dyn Error>> {
    let status = command.status().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}").into()) }
}

fn output(command: &mut Command) -> Result<String, Box<dyn Error>> {
    Ok(String::from_utf8(command.output()?.stdout)?)
}
