# kernel<<<shape>>>(given) becomes run_kernel({shape}, [=](const auto&... all) { kernel(all...); }, given).
s/([A-Za-z_]+(<[^<>()]*>)?)<<<(.*)>>>\(/run_kernel({\3}, [=](const auto\&... all) { \1(all...); }, /
