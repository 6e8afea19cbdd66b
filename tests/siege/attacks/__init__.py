"""The attacks, a module for each way in; importing this fills the tables of the catalogue."""

from tests.siege.attacks import (
    answers as answers,
)
from tests.siege.attacks import (
    bodies as bodies,
)
from tests.siege.attacks import (
    connections as connections,
)
from tests.siege.attacks import (
    endpoints as endpoints,
)
from tests.siege.attacks import (
    framing as framing,
)
from tests.siege.attacks import (
    holding as holding,
)
from tests.siege.attacks import (
    providers as providers,
)
