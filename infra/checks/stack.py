"""A stack as the template makes it from parameters: conditions are decided, parameters are filled in."""

import re

PSEUDO = {"AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com", "AWS::Region": "ap-northeast-1", "AWS::AccountId": "111122223333"}
GONE = object()


class Stack:
    def __init__(self, template, **given):
        self.template = template
        self.values = {name: str(it.get("Default", "")) for name, it in template["Parameters"].items()} | PSEUDO
        self.values |= {"AWS::StackName": "tiktok-token-refresh", "AWS::NoValue": GONE} | given
        self.read = set()

    def resources(self):
        """Resources whose condition holds, with their final properties."""
        there = {name: it for name, it in self.template["Resources"].items() if "Condition" not in it or self.holds(it["Condition"])}
        return {name: self.fill(it) for name, it in there.items()}

    def used(self):
        """Names of parameters that these resources depend on, through conditions as well."""
        self.read.clear()
        self.resources()
        return self.read & set(self.template["Parameters"])

    def holds(self, condition):
        return self.decide(self.template["Conditions"][condition])

    def decide(self, condition):
        ((kind, of),) = condition.items()
        if kind == "Condition":
            return self.holds(of)
        if kind == "Fn::Equals":
            return self.fill(of[0]) == self.fill(of[1])
        decided = [self.decide(it) for it in of]
        return {"Fn::Not": not decided[0], "Fn::And": all(decided), "Fn::Or": any(decided)}[kind]

    def fill(self, value):
        if isinstance(value, list):
            return [it for it in map(self.fill, value) if it is not GONE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((kind, of),) = value.items()
            if kind == "Ref":
                return self.named(of)
            if kind == "Fn::GetAtt":
                return self.named(of if isinstance(of, str) else ".".join(of))
            if kind == "Fn::If":
                return self.fill(of[1] if self.holds(of[0]) else of[2])
            if kind == "Fn::Split":
                return self.fill(of[1]).split(of[0])
            if kind == "Fn::Join":
                return of[0].join(self.fill(of[1]))
            if kind == "Fn::Select":
                return self.fill(of[1])[int(of[0])]
            if kind == "Fn::Sub":
                text, own = (of, {}) if isinstance(of, str) else of
                own = {name: self.fill(it) for name, it in own.items()}
                return re.sub(r"\$\{([^}]+)\}", lambda it: own[it[1]] if it[1] in own else str(self.named(it[1])), text)
        filled = {key: self.fill(it) for key, it in value.items() if key != "Condition" or not isinstance(it, str)}
        return {key: it for key, it in filled.items() if it is not GONE}

    def named(self, name):
        """The value of a parameter; or an id of a resource that is as long as those that AWS makes up."""
        if name in self.values:
            self.read.add(name)
            return self.values[name]
        resource = name.partition(".")[0]
        if self.template["Resources"][resource]["Type"] == "AWS::SecretsManager::Secret":
            own = self.fill(self.template["Resources"][resource]["Properties"]).get("Name", f"{resource}-0123456789Ab")
            return f"arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:{own}-AbCdEf"
        return f"arn:aws:service:ap-northeast-1:111122223333:{self.values['AWS::StackName']}-{resource}-0123456789Ab"
