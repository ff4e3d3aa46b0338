"""Which process of a run this is, as what started it has put it into the environment.

Each module reads the variables of one launcher. A set of variables that is there in part, or that
contradicts itself, is refused: a process that took itself for the only one would train a run of
its own.
"""

from collections.abc import Mapping

from keras_rescnet.training.launchers.jax_variables import read_jax_variables
from keras_rescnet.training.launchers.keras_distribution import read_keras_distribution
from keras_rescnet.training.launchers.open_mpi import read_open_mpi
from keras_rescnet.training.launchers.processes import Processes
from keras_rescnet.training.launchers.slurm import read_slurm
from keras_rescnet.training.launchers.tf_config import read_tf_config

_READERS = (
    read_tf_config,
    read_keras_distribution,
    read_jax_variables,
    read_open_mpi,  # before Slurm's, by whose `srun` mpirun starts its daemons on other machines
    read_slurm,
)


def find(environ: Mapping[str, str]) -> Processes | None:
    """Returns the processes of the run that an environment describes, or `None` of a single one.

    What a user sets decides before what a launcher sets: `TF_CONFIG`, then
    `KERAS_DISTRIBUTION_*`, then `JAX_*`, Open MPI, Slurm. The first that is there counts, also if
    it says that there is one process.

    Args:
        environ: The environment, such as `os.environ`.

    Raises:
        Mistake: If variables are missing or wrong; one of them is named.
    """
    for read in _READERS:
        found = read(environ)
        if found is not None:
            return found if found.count > 1 else None
    return None
