"""The operator's desk: the stack that is in trouble, a shell, and what a scenario needs to bring trouble about."""

import json
import os
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import urllib3
from between import Between, mentions, tiktok_says
from support import consent, secret, until

REFRESH = {"action": "refresh"}


class Shell:
    """A person's shell, in which the runbook's set-up was pasted once."""

    def __init__(self, environment, directory):
        self.environment, self.directory = environment, directory
        self.set_up = ""

    def run(self, block, typed="", **variables):
        command = ["bash", "-euo", "pipefail", "-c", f"{self.set_up}\n{block}"]
        environment = self.environment | variables
        return subprocess.run(command, input=typed, capture_output=True, text=True, cwd=self.directory, env=environment)

    def paste(self, block, typed="", **variables):
        """Runs a block as a person pastes it, every command of it having to succeed; returns what it prints."""
        done = self.run(block, typed, **variables)
        said = f"{done.stdout}\n{done.stderr}".strip()
        assert done.returncode == 0 and not done.stderr, f"{block}\n\nended with status {done.returncode}:\n{said[-6000:]}"
        return done.stdout

    def remember(self, block):
        """Keeps the names that a block defines, without asking AWS for them again."""
        names = "STACK RESOURCES FUNCTION LOGS ROLE GROUP UNDELIVERED FAILED SECRET"
        self.set_up = self.paste(f"{block}\ndeclare -p {names}\ndeclare -f")


def documents(output):
    """The JSON documents that a program prints, one after the other, among other lines."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(output):
        if output[at] in "{[":
            try:
                document, at = decoder.raw_decode(output, at)
                found.append(document)
                continue
            except ValueError:
                pass
        at += 1
    return found


class Desk:
    def __init__(self, world, sections, directory, name, open_here):
        self.world, self.sections, self.directory = world, sections, directory
        self.cloud, self.secrets, self.name = world.cloud, world.secrets, name
        self.tiktok, self.between = (open_here(Between(url).listening()) for url in (world.origin, world.strict))
        self.secret_id = self.secrets.create_secret(Name=name, SecretString=json.dumps(world.app()))["ARN"]
        self.stack = self.deploy(name, self.between.url, ExistingSecretArn=self.secret_id, AlarmEmail="somebody@example.org")
        self.function = self.stack.physical("Function")
        self.title, self.pasted = None, set()
        self.authorize(self.secret_id)
        self.shell = self.shell_of(self.stack, self.between.url)

    def deploy(self, name, secrets, **parameters):
        return self.world.deploy(name, self.tiktok.url, secrets, **parameters)

    def shell_of(self, stack, secrets):
        """A shell in which the set-up was pasted."""
        directory = Path(tempfile.mkdtemp(dir=self.directory))
        shell = Shell(self.world.environment(directory, secrets) | {"STACK": stack.name}, directory)
        shell.remember(self.sections["Set up"].blocks[0])
        return shell

    def sit_down(self, title):
        """Each section begins with a secret in order."""
        self.title, self.pasted = title, {0} if title == "Set up" else set()
        if self.document() != self.good():
            self.put(self.good())
        ended = self.refresh(if_needed=True)
        if ended == "kept":
            # The section before had TikTok reject these tokens, and a schedule leaves them alone for a day.
            ended = self.refresh()
        assert ended in ("fresh", "refreshed", "resumed")
        self.cloud.client("sqs").purge_queue(QueueUrl=self.stack.outputs["ExecutionFailureQueueUrl"])

    def not_pasted(self):
        """The commands of the section that its scenario has not run."""
        section = self.sections[self.title]
        in_blocks = {line for it in self.sections.values() for block in it.blocks for line in block.splitlines()}
        commands = dict(enumerate(section.blocks)) | {it: it for it in section.inline() if it not in in_blocks}
        return [commands[unused] for unused in commands.keys() - self.pasted]

    def good(self):
        """The credentials with the app inline, and the tokens that are current."""
        names = ("access_token", "refresh_token", "_refresh", "refreshed_at", "access_token_expires_at", "advertiser_ids")
        names += ("refresh_token_expires_at", "authorized_at", "advertisers", "advertisers_fetched_at", "redirect_uri")
        document = self.document()
        return {name: document[name] for name in names if name in document} | self.world.app()

    def block(self, number=0):
        return self.sections[self.title].blocks[number]

    def paste(self, number=0, typed="", shell=None, **variables):
        self.pasted.add(number)
        return (shell or self.shell).paste(self.block(number), typed, **variables)

    def inline(self, beginning, shell=None, **names):
        """Runs the command in the section's text that begins so, with these instead of its names in capitals."""
        [command] = {command for command in self.sections[self.title].inline() if command.startswith(beginning)}
        self.pasted.add(command)
        for name, value in names.items():
            command = command.replace(name, value)
        return (shell or self.shell).paste(command)

    # -- the function

    def invoke(self, event):
        return self.stack.invoke(event)

    def answer(self, event):
        """The outcome, or the error type."""
        kind, answer = self.invoke(event)
        return kind or answer["results"][0].get("outcome")

    def refresh(self, **fields):
        kind, answer = self.invoke(REFRESH | fields)
        assert kind is None, answer
        return answer["results"][0]["outcome"]

    def fails(self, wanted):
        """The situation is there: a run fails in the way that the section is about. Returns what it says."""
        kind, answer = self.invoke(REFRESH)
        assert kind == wanted, answer
        return answer["errorMessage"]

    def status(self):
        return self.invoke({"action": "status"})[1]["results"][0]

    def live(self):
        return self.cloud.client("lambda").get_function_configuration(FunctionName=f"{self.function}:live")

    @contextmanager
    def configured(self, timeout=None, **variables):
        """A deployment with another configuration, and back."""
        functions, before = self.cloud.client("lambda"), self.live()
        self.configure(timeout or before["Timeout"], before["Environment"]["Variables"] | variables)
        try:
            yield
        finally:
            self.configure(before["Timeout"], before["Environment"]["Variables"], before["Version"])
            functions.get_waiter("function_updated").wait(FunctionName=self.function)

    def configure(self, timeout, variables, version=None):
        functions = self.cloud.client("lambda")
        functions.update_function_configuration(FunctionName=self.function, Timeout=timeout, Environment={"Variables": variables})
        functions.get_waiter("function_updated").wait(FunctionName=self.function)
        version = version or functions.publish_version(FunctionName=self.function)["Version"]
        functions.update_alias(FunctionName=self.function, Name="live", FunctionVersion=version)

    def kill(self):
        """The function's processes die, all of them children of this very run's emulator."""
        name, killed = f"AWS_LAMBDA_FUNCTION_NAME={self.function}".encode(), 0
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if name in (entry / "environ").read_bytes().split(b"\0"):
                    os.kill(int(entry.name), signal.SIGKILL)
                    killed += 1
            except OSError:
                continue
        assert killed > 0

    # -- the secret, as the operator of the stand-in sees it

    def document(self, name=None, label="AWSCURRENT"):
        return secret(self.secrets, name or self.secret_id, label)

    def versions(self):
        """The number of versions of the secret, with those that have no label."""
        listed = self.secrets.list_secret_version_ids(SecretId=self.secret_id, IncludeDeprecated=True, MaxResults=100)
        return len(listed["Versions"])

    def put(self, document, **options):
        self.secrets.put_secret_value(SecretId=self.secret_id, SecretString=json.dumps(document), **options)

    def authorize(self, secret):
        """A person authorizes the app for a secret."""
        [result] = self.invoke({"action": "authorize_url", "secret_id": secret})[1]["results"]
        address = consent(result["authorize_url"])
        assert self.answer({"action": "exchange", "redirect_url": address, "secret_id": secret}) == "authorized"

    def another(self, name):
        """Another credentials secret, authorized."""
        secret = self.secrets.create_secret(Name=f"{self.name}/{name}", SecretString=json.dumps(self.world.app()))["ARN"]
        self.authorize(secret)
        return secret

    def usable(self, name=None):
        """True if TikTok takes the access token, also while the proxy blocks the function."""
        url, token = f"{self.world.origin}{self.world.api}oauth2/advertiser/get/", self.document(name)["access_token"]
        return urllib3.request("GET", url, fields=self.world.app(), headers={"Access-Token": token}).json()["code"] == 0

    @contextmanager
    def dead_grant(self):
        """TikTok has ended the grant whose tokens are current; others it takes."""
        dead = [self.document()[name] for name in ("access_token", "refresh_token")]

        def ended(request):
            if any(mentions(request, token) for token in dead):
                return tiktok_says(40105, "Token is incorrect or has been revoked.")

        before = self.document()
        with self.tiktok.rule(ended):
            yield
        if self.document()["refresh_token"] == before["refresh_token"]:
            self.put(before)
            # By hand: a schedule leaves tokens alone for a day that TikTok has once rejected.
            self.refresh()

    # -- what is around it

    def send_and_lose(self, event):
        """An asynchronous event that fails, and ends in the queue."""
        payload = json.dumps(event).encode()
        self.cloud.client("lambda").invoke(FunctionName=self.function, InvocationType="Event", Payload=payload)
        until(lambda: self.messages("ExecutionFailureQueue"), "the failed event in its queue")

    def messages(self, queue):
        wanted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        url = self.stack.outputs[f"{queue}Url"]
        found = self.cloud.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=wanted)["Attributes"]
        return sum(map(int, found.values()))

    def metrics(self, name):
        """Gives CloudWatch the function's newest line that has this metric."""
        lines = [json.loads(line) for line in self.stack.logs() if '"_aws"' in line and f'"{name}":' in line]
        line = lines[-1]
        [directive] = line["_aws"]["CloudWatchMetrics"]
        dimensions = [{"Name": key, "Value": line[key]} for key in directive["Dimensions"][0]]
        self.cloud.client("cloudwatch").put_metric_data(
            Namespace=directive["Namespace"],
            MetricData=[
                {"MetricName": name, "Dimensions": dimensions, "Value": line[name], "Timestamp": line["_aws"]["Timestamp"] / 1000}
            ],
        )
        # Questions about the past end with the second before.
        time.sleep(1)

    def schedules(self, state=None, name=None):
        """The schedules as they are, or after one was switched."""
        client, group = self.cloud.client("scheduler"), self.stack.physical("ScheduleGroup")
        found = [
            client.get_schedule(GroupName=group, Name=it["Name"]) for it in client.list_schedules(GroupName=group)["Schedules"]
        ]
        for schedule in found:
            del schedule["ResponseMetadata"]
            if state and schedule["Name"] == name:
                left_out = ("Arn", "CreationDate", "LastModificationDate", "State")
                kept = {key: value for key, value in schedule.items() if key not in left_out}
                client.update_schedule(**kept, State=state)
        return found

    def file(self, name, text):
        (self.shell.directory / name).write_text(text)

    def exists(self, name):
        return (self.shell.directory / name).exists()
