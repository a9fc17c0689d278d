"""Configuration, credentials and files of keys."""

from __future__ import annotations

from typing import Any

from tests.support.next_lines import Case

_CONFIG = "export OBSUP_CONFIG=$PWD/config.toml"
_KEYS = '[profiles.p]\naccess_key_id = "a"\nsecret_access_key = "b"\n'


def _config(site: str, content: str, fixed: str = "", **more: Any) -> Case:
    """Return the case of a configuration file with *content*, which is replaced by *fixed*."""
    before, fix = f"{_CONFIG}; write config.toml {content}", f"write config.toml {fixed}"
    return Case(f"local/config/file: {site}", **{"code": 78, "before": before, "fix": fix, **more})


def _profile(site: str, content: str, code: int = 77, before: str = "") -> Case:
    """Return the case of a profile whose credentials are not found."""
    return Case(
        f"local/config/{site}",
        code,
        before=f"{_CONFIG}; write config.toml [profiles.p]\n{content}\n; export OBSUP_PROFILE=p; "
        "export A=$AccessKeyID; export S=$SecretAccessKey; unset AccessKeyID SecretAccessKey" + before,
        fix="export AccessKeyID=$A; export SecretAccessKey=$S; write config.toml [profiles.p]\n",
    )


def _without(package: str) -> str:
    """Return the steps that hide an installed package."""
    return (
        "mkdir hidden; export PYTHONPATH=$PWD/hidden; "
        f'write hidden/sitecustomize.py import sys\nsys.modules["{package}"] = None'
    )


# The package, without what it does: no proxy listens.
_SOCKS = """PROXY_TYPE_SOCKS5 = PROXY_TYPE_SOCKS4 = 1
class ProxyError(OSError):
    socket_err = None
def create_connection(*_, **__):
    raise ProxyError
"""

CASES = (
    Case(
        "cli/arguments/settings: at_its_place",
        78,
        before=f'{_CONFIG}; write config.toml [defaults]\nregion = "a b"',
        fix="write config.toml ",
    ),
    Case("cli/arguments/settings: invalid_setting", 78, before="export OBSUP_JOBS=0", fix="unset OBSUP_JOBS"),
    Case(
        "engine/job/target_settings: _wrong_setting",
        78,
        before="export AWS_REGION=a/b",
        command="obsup upload bigfile s3://bucket/key",
        fix="unset AWS_REGION",
    ),
    _config("_parse", "[defaults"),
    _config("_table", 'defaults = "x"'),
    _config("_check", "[defaults]\nparts = true"),
    _config("_refuse_exclusive", '[defaults]\nparts = 2\npart_size = "1M"'),
    _config("_refuse_unknown", "[defaults]\npart = 2"),
    _config("_build_profile", f'{_KEYS}credential_process = "c"'),
    _config("_build_profile 2", '[profiles.p]\ncredential_process = "a b\'"'),
    _config("Config.find_profile", "", "[profiles.p]", command="obsup upload bigfile bucket/key --profile p"),
    _config(
        "load_config 2",
        "",
        before="mkdir unreadable",
        command="obsup upload bigfile bucket/key --config unreadable",
        fix="touch readable",
        fill=("FILE", "readable"),
    ),
    _config(
        "load_config 3",
        "",
        before="export XDG_CONFIG_HOME=$PWD/own; mkdir -p own/obsup/config.toml",
        fix="rmdir own/obsup/config.toml",
    ),
    _config(
        "_require_own",
        "",
        before=f"{_CONFIG}; touch config.toml; chmod 622 config.toml",
        fix="",
        check="obsup upload bigfile bucket/key",
    ),
    _config(
        "_require_secret",
        "",
        before=f"{_CONFIG}; write config.toml {_KEYS}; chmod 644 config.toml",
        fix="",
        check="obsup upload bigfile bucket/key",
    ),
    Case(
        "local/config/file: load_config",
        78,
        before="export OBSUP_CONFIG=$PWD/config.toml",
        check="test -s config.toml && obsup upload bigfile bucket/key",
    ),
    Case(
        "local/config/credentials: _not_found",
        77,
        before="export A=$AccessKeyID; export S=$SecretAccessKey; unset AccessKeyID SecretAccessKey",
        fix="export AccessKeyID=$A; export SecretAccessKey=$S",
    ),
    Case(
        "local/config/credential_fields: pair_keys",
        77,
        before="export S=$SecretAccessKey; unset SecretAccessKey",
        fix="export SecretAccessKey=$S",
    ),
    Case(
        "local/config/credential_fields: _check_characters",
        77,
        before="export S=$SecretAccessKey; export SecretAccessKey=a\tb",
        fix="export SecretAccessKey=$S",
    ),
    Case(
        "dialects/encoding: secret_bytes",
        77,
        before="export S=$SecretAccessKey; export SecretAccessKey=geheimé",
        fix="export SecretAccessKey=$S",
    ),
    _profile(
        "credential_fields: _text",
        "credential_process = '''echo '{\"Version\": 1, \"AccessKeyId\": 1}''''",
    ),
    _profile("credential_process: _failed", 'credential_process = "false"'),
    _profile(
        "instance_metadata: _Host.__init__",
        'metadata_service = "aws"',
        78,
        "; export AWS_EC2_METADATA_SERVICE_ENDPOINT=nonsense",
    ),
    _profile(
        "instance_metadata: _Host.error",
        'metadata_service = "aws"',
        before="; export AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:9",
    ),
    _profile(
        "credential_chain: Chain.find_for_profile", 'credentials = "aws"', before=f"; {_without('botocore')}"
    )._replace(
        fix="rm hidden/sitecustomize.py; export AWS_ACCESS_KEY_ID=$A; export AWS_SECRET_ACCESS_KEY=$S",
        is_real=True,
    ),
    _profile("credential_chain: Chain.find_for_profile 2", 'credentials = "aws"'),
    _profile("credential_chain: chain_failed", 'aws_profile = "other"'),
    Case(
        "local/files/customer_key: read_customer_key",
        78,
        command="obsup upload bigfile bucket/key --sse-c-key-file KEY",
        fix="head -c 32 /dev/urandom > KEY; chmod 600 KEY",
        tls="https",
    ),
    Case(
        "local/files/customer_key: read_customer_key 2",
        78,
        before="head -c 32 /dev/urandom > KEY; chmod 644 KEY",
        command="obsup upload bigfile bucket/key --sse-c-key-file KEY",
        check="obsup upload bigfile bucket/key --sse-c-key-file KEY",
    ),
    Case(
        "store/http/tls_files: _load",
        78,
        before="echo x > certificate.pem",
        command="obsup upload bigfile bucket/key --ca-bundle certificate.pem",
        fix="cp $OBSUP_CA_BUNDLE certificate.pem",
        tls="https",
    ),
    Case(
        "store/http/tls_files: _load 2",
        78,
        command="obsup upload bigfile bucket/key --ca-bundle certificate.pem",
        fix="cp $OBSUP_CA_BUNDLE certificate.pem",
        tls="https",
    ),
    Case(
        "store/http/proxy: check_proxy",
        78,
        before="export OBSUP_PROXY=ftp://127.0.0.1:9; ",
        fix="unset OBSUP_PROXY",
    ),
    Case(
        "store/http/proxy: check_proxy 2",
        78,
        before=_without("socks") + "; export ALL_PROXY=socks5://127.0.0.1:9",
        command="obsup uploads bucket --endpoint http://store.invalid",
        fix=f"rm hidden/sitecustomize.py; write hidden/socks.py {_SOCKS}",
        then=75,
        is_real=True,
    ),
    Case(
        "cli/run/metrics: RunMetrics.__init__",
        78,
        before=_without("prometheus_client"),
        command="obsup upload bigfile bucket/key --metrics metrics.prom",
        fix="rm hidden/sitecustomize.py",
        is_real=True,
    ),
    Case(
        "engine/job/executor_spec: check_spec",
        78,
        before=_without("distributed"),
        command="obsup upload bigfile bucket/key --executor dask:tcp://127.0.0.1:1",
        fix="rm hidden/sitecustomize.py",
        is_real=True,
    ),
)
