from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents import masking
from palaestra.agents.masking import MASK, masked, remember_secrets, without_secrets
from palaestra.agents.secret_names import is_public_name, is_secret_name, is_secret_table
from palaestra.agents.secret_spellings import SecretFinder

SECRETS = [
    "api_key",
    "API_KEY",
    "apiKey",
    "apikey",
    "APIKey",
    "api-key",
    "x-api-key",
    "X-Api-Key",
    "xApiKey",
    "api_key_2",
    "apiKey2",
    "API_KEY_PROD",
    "OPENAI_API_KEY",
    "OPENAI_KEY",
    "openai_key",
    "ACME_KEY",
    "AZURE_OPENAI_KEY",
    "Ocp-Apim-Subscription-Key",
    "subscription_key",
    "x-functions-key",
    "account_key",
    "storage_key",
    "aws_secret_access_key",
    "aws_access_key_id",
    "accessKeyId",
    "access_key",
    "secret_key",
    "secretKey",
    "private_key",
    "privatekey",
    "PRIVATE_KEY_PEM_VALUE",
    "signing_key",
    "signingKey",
    "auth_key",
    "authKey",
    "encryption_key",
    "master_key",
    "session_key",
    "hmac_key",
    "ssh_key",
    "license_key",
    "app_key",
    "client_key",
    "shared_access_key",
    "shared_key",
    "consumer_key",
    "deploy_key",
    "webhook_key",
    "token",
    "Token",
    "hf_token",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "auth_token",
    "authToken",
    "authtoken",
    "access_token",
    "accessToken",
    "accesstoken",
    "refresh_token",
    "bearer_token",
    "id_token",
    "azure_ad_token",
    "acme_token",
    "bot_token",
    "X-Auth-Token",
    "X-Amz-Security-Token",
    "X-CSRF-Token",
    "XSRF-TOKEN",
    "csrf_token",
    "session_token",
    "sas_token",
    "token_value",
    "tokenSecret",
    "access_tokens",
    "api_tokens",
    "push_tokens",
    "secret",
    "SECRET",
    "secrets",
    "client_secret",
    "clientSecret",
    "clientsecret",
    "CLIENT_SECRET",
    "client_secret_2",
    "app_secret",
    "password",
    "PASSWORD",
    "dbPassword",
    "db_password",
    "DB_PASSWD",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "db_pwd",
    "MYSQL_PWD",
    "user.pwd",
    "user_pwd",
    "smtp_pass",
    "DB_PASS",
    "sig",
    "signature",
    "X-Amz-Signature",
    "X-Goog-Signature",
    "X-Goog-Credential",
    "X-Amz-Credential",
    "Authorization",
    "Proxy-Authorization",
    "authorization",
    "cookie",
    "Cookie",
    "Set-Cookie",
    "cookies",
    "credential",
    "credentials",
    "vertex_credentials",
    "creds",
    "auth",
    "basic_auth",
    "proxy_auth",
    "bearer",
    "jwt",
    "JWT",
    "id_jwt",
    "dsn",
    "DSN",
    "SENTRY_DSN",
    "connection_string",
    "connectionString",
    "ConnectionString",
    "conn_str",
    "connstr",
    "AZURE_STORAGE_CONNECTION_STRING",
    "session_id",
    "sessionId",
    "SESSIONID",
    "JSESSIONID",
    "jsessionid",
    "PHPSESSID",
    "ASP.NET_SessionId",
    "connect.sid",
    "Mcp-Session-Id",
    "GITHUB_PAT",
    "otp",
    "webhook_url",
    "client_assertion",
    "auth_code",
    "code_verifier",
    "recovery_phrase",
    "passkey",
]
OTHERS = [
    "PWD",
    "OLDPWD",
    "INIT_PWD",
    "ORIG_PWD",
    "CWD",
    "INIT_CWD",
    "PATH",
    "HOME",
    "key",
    "keys",
    "key_path",
    "keyPath",
    "key_file",
    "KEY_PATH",
    "private_key_path",
    "api_key_env",
    "api_key_env_name",
    "api_key_field",
    "apiKeyName",
    "key_id",
    "keyboard",
    "keyboard_layout",
    "KEYBOARD",
    "keyword",
    "keywords",
    "keypoints",
    "monkey",
    "turkey",
    "donkey",
    "hockey",
    "hotkey",
    "hot_key",
    "sort_key",
    "sortKey",
    "SORT_KEY",
    "primary_key",
    "PRIMARY_KEY",
    "foreign_key",
    "cache_key",
    "CACHE_KEY",
    "task_key",
    "TASK_KEY",
    "group_key",
    "partition_key",
    "public_key",
    "PUBLIC_KEY",
    "row_key",
    "dict_keys",
    "argument_key",
    "name_key",
    "num_keys",
    "n_keys",
    "key_value",
    "keyed",
    "tokens",
    "max_tokens",
    "maxTokens",
    "MAX_TOKENS",
    "max_token",
    "min_tokens",
    "token_budget",
    "tokenBudget",
    "token_count",
    "token_ids",
    "token_id",
    "tokens_per_minute",
    "tokenizer",
    "tokenizer_path",
    "TOKENIZERS_PARALLELISM",
    "tokenize",
    "detokenize",
    "pad_token",
    "eos_token",
    "bos_token",
    "eosToken",
    "image_token",
    "next_token",
    "nextPageToken",
    "page_token",
    "continuation_token",
    "stop_token_ids",
    "return_tokens",
    "prompt_tokens",
    "completion_tokens",
    "budget_tokens",
    "num_tokens",
    "total_tokens",
    "add_special_tokens",
    "max_tokens_field",
    "session_tokens_per_turn",
    "token_mean",
    "secretary",
    "secret_name",
    "secret_arn",
    "num_secrets",
    "password_file",
    "passwordless",
    "password_policy",
    "max_password_length",
    "passage",
    "passages",
    "passed",
    "pass",
    "num_pass",
    "pass_at_k",
    "pass_hat_k",
    "forward_pass",
    "backward_pass",
    "compass",
    "bypass",
    "path",
    "patience",
    "pattern",
    "author",
    "authors",
    "authority",
    "author_name",
    "GIT_AUTHOR_NAME",
    "XAUTHORITY",
    "SSH_AUTH_SOCK",
    "auth_type",
    "auth_mode",
    "auth_url",
    "authentication_method",
    "cookie_policy",
    "cookiecutter",
    "credential_type",
    "credentials_path",
    "AWS_SHARED_CREDENTIALS_FILE",
    "signature_version",
    "thought_signature",
    "function_signature",
    "sig_figs",
    "signal",
    "sigma",
    "significance",
    "design",
    "dsn_name",
    "session",
    "session_header",
    "session_name",
    "desktop_session",
    "XDG_SESSION_ID",
    "TERM_SESSION_ID",
    "id",
    "ids",
    "task_id",
    "run_id",
    "user_id",
    "connection",
    "connection_timeout",
    "connections",
    "string",
    "header",
    "headers_timeout",
    "jwt_algorithm",
    "webhook",
    "webhook_timeout",
    "seed",
    "model",
    "split",
    "base_url",
    "api_base",
    "keep_turns",
    "pin",
    "spin",
    "opinion",
    "bearing",
    "bearings",
    "secretion",
    "option",
    "options",
    "adapt",
    "otp_length",
]
PUBLIC = [
    *("X-Region", "region", "aws_region", "x-amz-region", "X-Zone", "availabilityZone", "location", "cloud-location"),
    *("api-version", "apiVersion", "API_VERSION", "api_version_2", "anthropic-version", "X-Api-Version", "v2-version"),
    *("anthropic-beta", "OpenAI-Beta", "Accept", "Accept-Encoding", "accept-language", "Content-Type", "Cache-Control"),
    *("Connection", "Host", "Origin", "Referer", "HTTP-Referer", "User-Agent", "X-Title", "X-OpenRouter-Title", "lang"),
    *("locale", "format", "response_format", "encoding", "model", "deployment", "x-ms-deployment-name", "tier", "priority"),
    *("X-Environment", "stage", "timeout", "X-Request-Timeout", "page", "limit", "token_type", "X-Timezone", "app-name"),
    *("X-Stainless-Os", "X-Stainless-Arch", "x-stainless-runtime-version", "alt-format", "stream", "currency", "country"),
]
NOT_PUBLIC = [
    *("X-Team", "k", "key", "x-key", "sv", "code", "X-Api-Key", "Authorization", "token", "region_token", "version_key"),
    *("x-goog-api-key", "api_key_2", "sig", "X-Org", "OpenAI-Organization", "user", "session_id", "X-Session", "id", "", "2"),
    *("subscription-key", "X-Custom", "X-Trace", "Cookie", "X-Amz-Credential", "tenant", "X-Account", "q", "state", "hash"),
]
PARTS = [name.split("_") for name in SECRETS if name.islower() and "." not in name and "-" not in name]


@pytest.mark.parametrize("name", SECRETS)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)
    assert masked({"a": [{name: "value-1"}]}) == {"a": [{name: MASK}]}


@pytest.mark.parametrize("name", OTHERS)
def test_names_that_only_look_like_those_of_secrets(name: str) -> None:
    assert not is_secret_name(name)
    assert masked({"a": [{name: "value-1"}]}) == {"a": [{name: "value-1"}]}


@given(st.sampled_from(PARTS), st.sampled_from(["snake", "kebab", "camel", "pascal", "capitals", "train"]), st.integers(0, 30))
def test_the_way_in_which_words_are_joined_does_not_matter(parts: list[str], way: str, number: int) -> None:
    titles = [part.title() for part in parts]
    name = {
        "snake": "_".join(parts),
        "kebab": "-".join(parts),
        "camel": "".join([parts[0], *titles[1:]]),
        "pascal": "".join(titles),
        "capitals": "_".join(parts).upper(),
        "train": "-".join(titles),
    }[way]
    if name == "PWD":  # the shell's working folder
        return
    assert is_secret_name(name)
    assert is_secret_name(f"{name}_{number}")
    assert is_secret_name(f"acme_{name}" if name[0].islower() else f"ACME_{name}")


@pytest.mark.parametrize(
    "name", ["headers", "default_headers", "extraHeaders", "HEADERS", "cookies", "default_query", "extra_query"]
)
def test_tables_whose_values_are_all_secrets(name: str) -> None:
    assert is_secret_table(name)
    assert masked({name: {"X-Team": "blue"}}) == {name: {"X-Team": MASK}}


@pytest.mark.parametrize("name", ["header", "headers_timeout", "query", "session_header", ""])
def test_other_tables(name: str) -> None:
    assert not is_secret_table(name)


@pytest.mark.parametrize("name", PUBLIC)
def test_values_of_public_names_are_masked_where_they_are_given_and_nowhere_else(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masking, "_finder", SecretFinder())
    assert is_public_name(name)
    assert not is_secret_name(name)
    given = {"headers": {name: "eu-west-1"}, "base_url": f"https://h/v1?{name}=2024-10-21", "default_query": {name: "b-2024"}}
    remember_secrets({"extra": given}, f"https://h/v1?a=1&{name}=preview-9")
    answer = {"text": "served in eu-west-1 by 2024-10-21, b-2024, preview-9"}
    assert masked(answer) == without_secrets(answer) == answer
    shown = {"headers": {name: MASK}, "base_url": f"https://h/v1?{name}={MASK}", "default_query": {name: MASK}}
    assert masked(given) == shown


@pytest.mark.parametrize("name", NOT_PUBLIC)
def test_values_of_all_other_names_of_headers_and_queries_are_looked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_finder", SecretFinder())
    assert not is_public_name(name)
    remember_secrets({"headers": {name: "eu-west-1"}}, f"https://h/v1?{name}=2024-10-21", {"default_query": {name: "b-2024"}})
    assert masked("eu-west-1, 2024-10-21, b-2024") == "***, ***, ***"


@pytest.mark.parametrize("name", [*SECRETS, "headers", "cookies"])
def test_no_name_of_a_secret_is_public(name: str) -> None:
    assert not is_public_name(name)


def test_under_the_name_of_a_secret_nothing_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_finder", SecretFinder())
    remember_secrets({"credentials": {"region": {"version": "eu-west-1"}}})
    assert masked("eu-west-1") == MASK


@given(st.text())
def test_any_name_is_read(name: str) -> None:
    assert isinstance(is_secret_name(name), bool)
    assert is_secret_name(f"{name}_api_key")
    assert is_secret_name("x" * 100_000 + name + "_client_secret")
