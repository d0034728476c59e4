# Sourced by scripts that start ranks on one machine: Open MPI 4.1 on a laptop, in a container, in CI.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1  # containers are root
export OMPI_MCA_rmaps_base_oversubscribe=1                        # more ranks than cores
export OMPI_MCA_mpi_yield_when_idle=1           # without it such ranks are a thousand times slower
export OMPI_MCA_hwloc_base_binding_policy=none  # two ranks would be bound to a core each, threads and all
export OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader,tcp               # no search for fabrics: starts in 0.1 s
