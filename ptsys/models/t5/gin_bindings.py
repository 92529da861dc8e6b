"""Model configurations from gin files, the only place where gin meets `ptsys.models`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gin

from ptsys.errors import InvalidInput
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.gin_search import gin_search

configurable_t5 = gin.external_configurable(T5Config, name="T5Config", module="ptsys.models")


def config_from_gin(files: Sequence[str | Path], bindings: Sequence[str] = ()) -> T5Config:
    """The `T5Config` that gin files and bindings such as `T5Config.d_ff = 64` describe.

    gin's state is global: it is emptied before and after, so call this where no other gin
    configuration is in force. Raises InvalidInput for absent files, unknown fields and
    parameters left unset.
    """
    gin.clear_config()
    try:
        with gin_search():
            gin.parse_config_files_and_bindings(
                [str(file) for file in files], list(bindings), finalize_config=False
            )
        config = configurable_t5()
    except InvalidInput:
        raise
    except (OSError, ValueError, TypeError, SyntaxError, RuntimeError, AttributeError) as error:
        raise InvalidInput(f"the gin configuration of the model: {error}", field="gin") from error
    finally:
        gin.clear_config()
    return T5Config(**config.to_dict())
