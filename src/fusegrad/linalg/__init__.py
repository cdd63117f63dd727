"""``fg.linalg``: linear algebra under the names of ``torch.linalg``.

Matrices are the last two axes; the axes before them are a batch. Factorisations and solvers call
LAPACK through NumPy, inside compiled programs, too; all others are compositions. Everything that
PyTorch differentiates is differentiable to any order.
"""

from ..errors import LinAlgError
from ..functions.linear import matmul
from ..functions.norms import linalg_norm as norm
from ..functions.norms import matrix_norm, vector_norm
from ..functions.out import accept as _accept_out
from .factors import (
    cholesky,
    cholesky_ex,
    householder_product,
    ldl_factor,
    ldl_factor_ex,
    lu,
    lu_factor,
    lu_factor_ex,
    qr,
)
from .matrices import (
    cross,
    det,
    diagonal,
    matrix_exp,
    matrix_power,
    multi_dot,
    slogdet,
    vander,
    vecdot,
)
from .solving import (
    inv,
    inv_ex,
    ldl_solve,
    lstsq,
    lu_solve,
    solve,
    solve_ex,
    solve_triangular,
    tensorinv,
    tensorsolve,
)
from .spectra import cond, eig, eigh, eigvals, eigvalsh, matrix_rank, pinv, svd, svdvals

__all__ = [
    "LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eig", "eigh",
    "eigvals", "eigvalsh", "householder_product", "inv", "inv_ex", "ldl_factor",
    "ldl_factor_ex", "ldl_solve", "lstsq", "lu", "lu_factor", "lu_factor_ex", "lu_solve",
    "matmul", "matrix_exp", "matrix_norm", "matrix_power", "matrix_rank", "multi_dot", "norm",
    "pinv", "qr", "slogdet", "solve", "solve_ex", "solve_triangular", "svd", "svdvals",
    "tensorinv", "tensorsolve", "vander", "vecdot", "vector_norm",
]  # fmt: skip

_accept_out(
    globals(),
    """
    cholesky cholesky_ex cond cross det eig eigh eigvals eigvalsh householder_product inv inv_ex
    ldl_factor ldl_factor_ex ldl_solve lstsq lu lu_factor lu_factor_ex lu_solve matmul matrix_norm
    matrix_power matrix_rank multi_dot norm pinv qr slogdet solve solve_ex solve_triangular svd
    svdvals tensorinv tensorsolve vecdot vector_norm
    """,
)
