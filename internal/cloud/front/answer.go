package front

import "drover/internal/lambdahttp"

// MaxAnswer is how many bytes the answer of an API family may have to fit into
// Lambda's envelope, whatever is in it and whether or not the client takes gzip.
const MaxAnswer = lambdahttp.AlwaysFits
