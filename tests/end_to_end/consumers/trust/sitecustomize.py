"""Makes certifi's bundle the one that SSL_CERT_FILE names: Airbyte's framework asks certifi, and no variable."""

import os

import certifi

certifi.where = lambda: os.environ["SSL_CERT_FILE"]
