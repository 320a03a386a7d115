"""A role's policy, of which permissions can be taken away."""

import copy
import json
from contextlib import contextmanager

from checks.rules import several

POLICY = "Secrets"


class Role:
    def __init__(self, cloud, name):
        self.iam, self.name = cloud.client("iam"), name
        self.document = self.iam.get_role_policy(RoleName=name, PolicyName=POLICY)["PolicyDocument"]

    def grants(self):
        """Every action with the resource that it is granted on."""
        return {
            (action, resource)
            for statement in self.document["Statement"]
            for action in several(statement["Action"])
            for resource in several(statement["Resource"])
        }

    @contextmanager
    def without(self, action, resource):
        """A permission is gone for the time of a block."""
        less = copy.deepcopy(self.document)
        for statement in less["Statement"]:
            if several(statement["Resource"]) == [resource]:
                statement["Action"] = [it for it in several(statement["Action"]) if it != action]
        less["Statement"] = [statement for statement in less["Statement"] if statement["Action"]]
        self.put(less)
        try:
            yield
        finally:
            self.put(self.document)

    def put(self, document):
        self.iam.put_role_policy(RoleName=self.name, PolicyName=POLICY, PolicyDocument=json.dumps(document))
