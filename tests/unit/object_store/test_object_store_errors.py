"""Every failure of a store becomes a sentence with the next step."""

from __future__ import annotations

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.object_store.errors import store_error

STORE = "http://minio:9000"


@pytest.mark.parametrize(
    ("names", "kind", "store_wide", "message"),
    [
        (("NoSuchBucket", "404"), "no_such_bucket", False,
         "Bucket images does not exist on http://minio:9000. Correct its name, or create it."),
        (("InvalidAccessKeyId", "403"), "unknown_access_key", True,
         "http://minio:9000 does not know the access key. Correct access_key, or the profile it comes from."),
        (("SignatureDoesNotMatch", "403"), "wrong_secret_key", True,
         "http://minio:9000 knows the access key but not this secret key. "
         "Correct secret_key, or the profile it comes from."),
        (("ExpiredToken", "400"), "expired_token", True,
         "The temporary credentials for http://minio:9000 are expired or invalid. "
         "Get new ones, or drop session_token."),
        (("RequestTimeTooSkewed", "403"), "clock_skew", True,
         "The clocks of this host and of http://minio:9000 differ by more than 15 minutes. "
         "Set the clock (timedatectl, chronyc)."),
        (("AccessDenied", "403"), "access_denied", False,
         "http://minio:9000 refuses to list objects in bucket images. Grant the access key s3:ListBucket."),
        (("", "403"), "access_denied", False,
         "http://minio:9000 refuses to list objects in bucket images. Grant the access key s3:ListBucket."),
        (("AuthorizationHeaderMalformed", "400"), "wrong_region", False,
         "Bucket images lives in another region (the text). Correct region."),
        (("SlowDown", "503"), "busy", False,
         "http://minio:9000 is overloaded or broken at the moment (the text). "
         "Try again; if it lasts, look at the store's log."),
        (("NotImplemented", "501"), "unsupported", False, "http://minio:9000 cannot list objects."),
        (("EndpointConnectionError", "ConnectionError", "BotoCoreError"), "endpoint_down", True,
         "http://minio:9000 cannot be reached. "
         "Start it, or correct endpoint_url, the name server or the firewall between."),
        (("ConnectTimeoutError", "ConnectionError", "HTTPClientError"), "timeout", True,
         "http://minio:9000 does not answer in time. "
         "Look at it and at the network, or raise connect_timeout and read_timeout."),
        (("SSLError", "ConnectionError", "HTTPClientError"), "tls", True,
         "The certificate of http://minio:9000 is not accepted (the text). Name its authority in ca_bundle."),
        (("NoCredentialsError", "BotoCoreError"), "no_credentials", True,
         "There are no credentials for http://minio:9000 (the text). Give access_key and secret_key, or a profile."),
        (("ResponseParserError", "ValueError"), "not_a_store", True,
         "http://minio:9000 does not answer as an object store does (the text). "
         "Correct endpoint_url, or look at the store's log."),
        (("PreconditionFailed", "412"), "replaced", False,
         "It was replaced by another object since it was listed. Look again."),
        (("Whatever", "418"), "other", False, "http://minio:9000 failed to list objects in bucket images: the text."),
    ],
)  # fmt: skip
def test_sentences(names: tuple[str, ...], kind: str, store_wide: bool, message: str) -> None:
    error = store_error(names, store=STORE, bucket="images", action="list objects", detail="the\n text. ")
    assert (error.kind, error.is_store_wide, error.message) == (kind, store_wide, message)
